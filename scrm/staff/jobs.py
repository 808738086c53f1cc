"""Reading members and departments from WeCom."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import structlog

from config.queues import Queue
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job
from scrm.kernel.locks import leader
from scrm.staff import queries, service
from scrm.staff.service import DepartmentSeen, MemberSeen
from scrm.staff.service.parsing import TOO_BIG, member_from, shows_everything
from scrm.wecom.client import Client, wecom
from scrm.wecom.errors import ErrorKind, WecomError
from scrm.wecom.parallel import run_parallel

BATCH = 500
UNKNOWN_DEPARTMENT = {60003}
UNKNOWN_MEMBER = {60111, 40003}  # left, deleted or never there (wecom-api.md section 5.2)
Json = dict[str, Any]
T = TypeVar("T")
log = structlog.get_logger(__name__)


@job(Queue.BACKGROUND)
def refresh_staff() -> None:
    """Read all departments, their members and who serves customers; once a day and at the first start."""
    with leader("staff.refresh") as lead:
        if lead is not None:
            _pull()


@job(Queue.BACKGROUND, due=queries.completion_due)
def complete_staff() -> None:
    """Ask WeCom about members of whom only the userid is known; read everything if that never happened."""
    with leader("staff.refresh") as lead:
        if lead is None:
            return
        if queries.never_read():
            _pull()
        _ask_one_by_one()
        _ask_departments()


def _pull() -> None:
    session().rollback()  # nothing is open while WeCom is called
    asked_at, client = utcnow(), wecom(feature="contacts")
    try:
        listed: list[Json] = client.get("department/simplelist")["department_id"]
    except WecomError as error:
        log.warning("departments could not be read", errcode=error.errcode, kind=error.kind)
        return
    departments, named = _collect([partial(_department, client, row) for row in listed])
    found, complete = _collect([partial(_members_of, client, int(row["id"])) for row in listed])
    followers = _answer(partial(_follow_users, wecom()))
    whole = shows_everything(int(row["id"]) for row in listed)
    with transaction():
        shown = {int(row["id"]): DepartmentSeen(**_department_fields(row)) for row in listed}
        shown |= {d.id: d for d in departments}
        service.apply_departments(list(shown.values()), asked_at, complete=whole)
        members = _merge(list(itertools.chain.from_iterable(found)))
        service.apply_members(members, asked_at)
        if followers is not None:
            service.set_follow_users(followers)
        gone, believed = (
            service.close_missing_members((m.userid for m in members), asked_at)
            if complete and whole
            else (0, True)
        )
    report = {"departments": len(listed), "members": len(members), "gone": gone}
    if not believed:
        log.error("more than half of all members vanished; nobody was marked as left", **report)
    log.info("staff read", complete=complete and named and followers is not None, **report)


def _collect(calls: Sequence[Callable[[], T]]) -> tuple[list[T], bool]:
    """(answers, whether every call succeeded)."""
    answers = run_parallel(calls)
    good = [answer for answer in answers if not isinstance(answer, WecomError)]
    for code in {answer.errcode for answer in answers if isinstance(answer, WecomError)}:
        log.warning("part of the staff could not be read", errcode=code)
    return good, len(good) == len(answers)


def _answer(call: Callable[[], T]) -> T | None:
    good, _ = _collect([call])
    return good[0] if good else None


def _follow_users(client: Client) -> list[str]:
    userids: list[str] = client.get("externalcontact/get_follow_user_list")["follow_user"]
    return userids


def _department(client: Client, row: Json) -> DepartmentSeen:
    """The department with its name, which only ``department/get`` tells."""
    shown = client.get("department/get", id=row["id"])["department"]
    return DepartmentSeen(**_department_fields({**row, **shown}))


def _department_fields(row: Json) -> Json:
    return {
        "id": int(row["id"]),
        "name": row.get("name"),
        "parent_id": row.get("parentid"),
        "position": row.get("order"),
    }


def _members_of(client: Client, department_id: int) -> list[MemberSeen]:
    """Direct members of a department; names and departments only where the full answer would be too big."""
    try:
        rows = client.get("user/list", department_id=department_id)["userlist"]
    except WecomError as error:
        if error.errcode != TOO_BIG and error.kind is not ErrorKind.DENIED:
            raise
        rows = client.get("user/simplelist", department_id=department_id)["userlist"]
    return [member_from(row) for row in rows]


def _merge(members: Sequence[MemberSeen]) -> list[MemberSeen]:
    """Members of several departments are shown several times, each time with all departments."""
    return list({m.userid.casefold(): m for m in members}.values())


def _ask_one_by_one() -> None:
    session().rollback()
    for _ in range(100):  # 50,000 members a run at the most
        userids = queries.userids_to_ask(BATCH)
        session().rollback()
        if not userids or not _ask(userids):
            return


def _ask(userids: Sequence[str]) -> bool:
    """Ask about these members; whether anything was learnt, so that going on makes sense."""
    asked_at, client = utcnow(), wecom(feature="contacts")
    answers = run_parallel([partial(_member, client, userid) for userid in userids])
    found = [answer for answer in answers if isinstance(answer, MemberSeen)]
    pairs = list(zip(userids, answers, strict=True))
    unknown = [u for u, a in pairs if isinstance(a, WecomError) and a.errcode in UNKNOWN_MEMBER]
    unseen = [u for u, a in pairs if isinstance(a, WecomError) and a.kind is ErrorKind.DENIED]
    if unknown and not _sees_everything(client):
        unseen, unknown = [*unseen, *unknown], []  # 60111 is also said of members whom the app does not see
    _write_answers(found, unknown, unseen, asked_at)
    failed = len(userids) - len(found) - len(unknown) - len(set(unseen) - set(unknown))
    if failed:
        log.warning("members could not be read", failed=failed)
    return failed == 0


def _sees_everything(client: Client) -> bool:
    listed = _answer(lambda: client.get("department/simplelist")["department_id"])
    return shows_everything(int(row["id"]) for row in listed or [])


def _member(client: Client, userid: str) -> MemberSeen:
    return member_from(client.get("user/get", userid=userid))


def _write_answers(
    found: Sequence[MemberSeen], unknown: Sequence[str], unseen: Sequence[str], asked_at: datetime
) -> None:
    with transaction():
        service.apply_members(found, asked_at)
        service.note_members_asked(unknown, asked_at, unknown=True)
        service.note_members_asked(list(set(unseen) - set(unknown)), asked_at, unknown=False)


def _ask_departments() -> None:
    session().rollback()
    ids = queries.departments_to_ask(BATCH)
    session().rollback()
    if not ids:
        return
    asked_at, client = utcnow(), wecom(feature="contacts")
    answers = run_parallel([partial(_department, client, {"id": id_}) for id_ in ids])
    pairs = list(zip(ids, answers, strict=True))
    gone = [id_ for id_, a in pairs if isinstance(a, WecomError) and a.errcode in UNKNOWN_DEPARTMENT]
    found = [answer for answer in answers if isinstance(answer, DepartmentSeen)]
    with transaction():
        service.apply_departments(found, asked_at)
        service.note_departments_gone(gone, asked_at)
    if failed := len(ids) - len(found) - len(gone):
        log.warning("departments could not be read", failed=failed)

"""Reading customer service: which accounts have something, and storing a page together with its cursor."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, func, not_, or_, update
from sqlalchemy.dialects.postgresql import insert

from scrm.conversations.events import KfPullWanted
from scrm.conversations.models import KfAccount
from scrm.conversations.service.kf_items import parse_items
from scrm.conversations.service.kf_sessions import apply_to_sessions, mark_failures
from scrm.conversations.service.kf_welcomes import welcome_entering
from scrm.conversations.service.messages import store_messages
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.events import publish
from scrm.kernel.leases import RELEASED, Claim, claim, held

TOKEN_LIFE = timedelta(minutes=10)  # wecom-api.md section 7.2
IDLE_PULL = timedelta(hours=6)
"""An account nobody called back for is read anyway: callbacks may be lost, and WeCom keeps messages 3 days."""
LEASE_SECONDS = 30.0  # a page takes a call of at most 3 s and one transaction; each page renews it
ACCOUNTS_AT_ONCE = (
    5  # calls of kf/sync_msg at once that WeCom is said to bear (45033, wecom-api.md section 1.3)
)
BACKOFF_SECONDS = (2, 5, 15, 60, 300)
EVENT_RESOLUTION = timedelta(seconds=1)
GONE = frozenset({95000, 95004, 48007})  # no such account, or it was taken from our app: wait for a callback


@dataclass(frozen=True)
class PullWish:
    """A callback said that an account has something to read.

    :param token: lets us read without the tight limit for 10 minutes
    :param at: the callback's own time; the newest token is kept
    """

    open_kfid: str
    token: str | None
    at: datetime


def want_pull(wishes: Sequence[PullWish]) -> None:
    """Remember that these accounts should be read; unknown accounts are made. Who is called for is ours."""
    newest: dict[str, PullWish] = {}
    for wish in sorted(wishes, key=lambda w: (w.token is not None, w.at)):
        newest[wish.open_kfid] = wish
    if not newest:
        return
    called = {id_: max(wish.at for wish in wishes if wish.open_kfid == id_) for id_ in newest}
    rows = [
        {
            "open_kfid": wish.open_kfid,
            "pull_wanted_at": utcnow(),
            "pull_token": wish.token,
            "pull_token_at": wish.at if wish.token else None,
            "called_at": called[wish.open_kfid],
            "granted_at": called[wish.open_kfid],
        }
        for _, wish in sorted(newest.items())
    ]
    new = insert(KfAccount).values(rows)
    since = new.excluded.pull_token_at
    was_gone = KfAccount.attempts == 0  # then next_at is no back-off: fail_reading waits for this callback
    fresher = and_(
        since.is_not(None), or_(KfAccount.pull_token_at.is_(None), since >= KfAccount.pull_token_at)
    )
    session().execute(
        new.on_conflict_do_update(
            index_elements=["open_kfid"],
            set_={
                "pull_wanted_at": new.excluded.pull_wanted_at,
                "next_at": case((was_gone, None), else_=KfAccount.next_at),
                "called_at": func.greatest(KfAccount.called_at, new.excluded.called_at),
                "granted_at": func.greatest(KfAccount.granted_at, new.excluded.granted_at),
                "pull_token": case((fresher, new.excluded.pull_token), else_=KfAccount.pull_token),
                "pull_token_at": case((fresher, new.excluded.pull_token_at), else_=KfAccount.pull_token_at),
            },
        )
    )
    publish(*(KfPullWanted(open_kfid) for open_kfid in sorted(newest)))


def take_away(accounts: Mapping[str, datetime]) -> None:
    """Accounts were deleted or taken from our app at these times (by open_kfid): they are not read any more.

    One that was given back later, or that somebody wrote to since, stays ours, whichever callback comes first.
    """
    rows = [{"open_kfid": id_, "removed_at": at} for id_, at in sorted(accounts.items())]
    if not rows:
        return
    new = insert(KfAccount).values(rows)
    newest = func.greatest(KfAccount.removed_at, new.excluded.removed_at)
    session().execute(new.on_conflict_do_update(index_elements=["open_kfid"], set_={"removed_at": newest}))


def is_ours() -> Any:
    """The clause: the account was not taken from us, or was given back since."""
    return or_(KfAccount.removed_at.is_(None), KfAccount.granted_at >= KfAccount.removed_at)


def claim_pulls() -> Claim:
    """Take some accounts that should be read now; one reader per account."""
    return claim(
        KfAccount,
        ready=pull_due(),
        order_by=KfAccount.pull_wanted_at.asc().nulls_last(),
        limit=ACCOUNTS_AT_ONCE,
        seconds=LEASE_SECONDS,
        values={},
    )


def pull_due() -> Any:
    """The clause: somebody asked for this account, or it has not been read for long; and it is not backing off."""
    now = utcnow()
    wanted = or_(KfAccount.pull_wanted_at.is_not(None), KfAccount.pulled_at < now - IDLE_PULL)
    return wanted & is_ours() & or_(KfAccount.next_at.is_(None), KfAccount.next_at <= now)


@dataclass
class Reading:
    """An account that this worker is reading, page after page.

    :param lease: fences every write; gone when the worker slept too long
    :param wanted_at: the wish this reading fulfils; a newer one stays
    :param asked_at: when the newest page was asked for
    """

    account_id: int
    open_kfid: str
    lease: uuid.UUID
    cursor: str | None
    token: str | None
    wanted_at: datetime | None
    attempts: int
    asked_at: datetime | None = None

    @classmethod
    def of(cls, account: KfAccount, lease: uuid.UUID) -> Reading:
        """The start of a reading: the token only while WeCom still takes it."""
        alive = account.pull_token_at is not None and account.pull_token_at > utcnow() - TOKEN_LIFE
        token = account.pull_token if alive else None
        return cls(
            account.id,
            account.open_kfid,
            lease,
            account.cursor,
            token,
            account.pull_wanted_at,
            account.attempts,
        )

    def question(self) -> dict[str, Any]:
        """The body of kf/sync_msg for the next page, about to be asked."""
        self.asked_at = utcnow()
        body = {"open_kfid": self.open_kfid, "limit": 1000, "cursor": self.cursor, "token": self.token}
        return {name: value for name, value in body.items() if value is not None}


def store_page(reading: Reading, page: Mapping[str, Any]) -> bool:
    """Store a page and move the cursor in one transaction, so that nothing is lost or doubled between them.

    :returns: whether to read on; False at the end of the log, or when somebody else holds the account now
    """
    cursor = page.get("next_cursor") or reading.cursor
    if not _move_cursor(reading, cursor):
        return False
    messages = parse_items(page.get("msg_list") or [], reading.account_id)
    new = store_messages(messages)
    fresh = [message for message in messages if message.key in new]
    apply_to_sessions(reading.account_id, fresh)
    mark_failures(fresh)
    welcome_entering(reading.account_id, fresh)
    moved, reading.cursor = cursor != reading.cursor, cursor
    return bool(page.get("has_more")) and moved


def forget_token(reading: Reading) -> None:
    """WeCom does not take this token any more: read on without it; a newer one of another callback stays."""
    session().execute(
        update(KfAccount)
        .where(KfAccount.id == reading.account_id, KfAccount.pull_token == reading.token)
        .values(pull_token=None)
        .execution_options(synchronize_session=False)
    )
    reading.token = None


def finish_reading(reading: Reading) -> None:
    """The log is read to its end: give the account back, and keep a wish that came meanwhile.

    Two callbacks of one second may have the same bytes, of which one row is kept: what was asked within that second
    is asked once more when it is over.
    """
    over = KfAccount.called_at + EVENT_RESOLUTION
    is_early = and_(KfAccount.called_at.is_not(None), over > (reading.asked_at or utcnow()))
    is_done = and_(KfAccount.pull_wanted_at == reading.wanted_at, not_(is_early))
    wanted = case((is_done, None), else_=KfAccount.pull_wanted_at)
    again = case((and_(is_early, KfAccount.pull_wanted_at == reading.wanted_at), over), else_=None)
    _release(reading, pull_wanted_at=wanted, pull_failed=None, attempts=0, next_at=again)


def give_back(reading: Reading) -> None:
    """Stop in the middle; the wish stays and the next reading goes on from the cursor."""
    _release(reading, attempts=0)


def fail_reading(reading: Reading, errcode: int | None, reason: str, retry_after: float | None) -> None:
    """WeCom did not answer well: keep why, and try again later unless the account is not ours any more."""
    values: dict[str, Any] = {"pull_failed": f"{errcode or 'no answer'}: {reason}"}
    if errcode in GONE:
        values |= {"pull_wanted_at": None, "attempts": 0, "next_at": utcnow() + IDLE_PULL}
    else:
        step = BACKOFF_SECONDS[min(reading.attempts, len(BACKOFF_SECONDS)) - 1]
        values["next_at"] = utcnow() + timedelta(seconds=max(step, retry_after or 0))
    _release(reading, **values)


def keep_accounts(found: Sequence[Mapping[str, Any]], asked_at: datetime) -> None:
    """Store what kf/account/list showed; a new account is read from where WeCom's three days begin.

    :param asked_at: when the question left; an account that was taken from us before, and that WeCom says we may
        manage, was given back
    """
    rows = [
        {
            "open_kfid": account["open_kfid"],
            "name": account.get("name"),
            "avatar": account.get("avatar"),
            "pull_wanted_at": utcnow(),
            "granted_at": asked_at if account.get("manage_privilege") else None,
        }
        for account in sorted(found, key=lambda a: str(a["open_kfid"]))
    ]
    if not rows:
        return
    new = insert(KfAccount).values(rows)
    session().execute(
        new.on_conflict_do_update(
            index_elements=["open_kfid"],
            set_={
                "name": new.excluded.name,
                "avatar": new.excluded.avatar,
                "granted_at": func.greatest(KfAccount.granted_at, new.excluded.granted_at),
                "updated_at": func.now(),
            },
        )
    )
    publish(*(KfPullWanted(row["open_kfid"]) for row in rows))


def close_missing_accounts(seen: Sequence[str], asked_at: datetime) -> int:
    """After a complete kf/account/list: accounts it does not show are gone; returns how many.

    An empty list is not believed (an app without the right sees none), nor a silence about an account that called
    after the question.
    """
    if not seen:
        return 0
    still = or_(KfAccount.granted_at.is_(None), KfAccount.granted_at < asked_at - EVENT_RESOLUTION)
    gone = session().execute(
        update(KfAccount)
        .where(KfAccount.open_kfid.not_in(sorted(seen)), is_ours(), still)
        .values(removed_at=asked_at)
        .returning(KfAccount.id)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


def _move_cursor(reading: Reading, cursor: str | None) -> bool:
    """Compare-and-set: only where the account still stands at the cursor this page was asked with."""
    until = utcnow() + timedelta(seconds=LEASE_SECONDS)
    moved = session().execute(
        update(KfAccount)
        .where(
            KfAccount.id == reading.account_id,
            held(KfAccount, reading.lease),
            KfAccount.cursor.is_not_distinct_from(reading.cursor),
        )
        .values(cursor=cursor, pulled_at=utcnow(), lease_until=until)
        .returning(KfAccount.id)
        .execution_options(synchronize_session=False)
    )
    return moved.first() is not None


def _release(reading: Reading, **values: Any) -> None:
    session().execute(
        update(KfAccount)
        .where(KfAccount.id == reading.account_id, held(KfAccount, reading.lease))
        .values(**values, **RELEASED)
        .execution_options(synchronize_session=False)
    )

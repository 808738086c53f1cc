"""Links as WeCom shows them: those made elsewhere are adopted, edits in the console are taken over, gone ones end.

Links can be edited in the console, by people who mean it. So where we wait for nothing ourselves, what WeCom shows
becomes what we want; where we want a change that WeCom does not have yet, ours stays and is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from scrm.acquisition_links.models import AcquisitionLink, LinkState
from scrm.acquisition_links.service.calls import body_of, userids_of
from scrm.acquisition_links.service.recording import recall_events
from scrm.kernel.clock import from_epoch
from scrm.kernel.counts import Seen
from scrm.kernel.db import session
from scrm.staff.service.naming import ensure_staff
from scrm.wecom.link_match import link_fields

Json = dict[str, Any]


def known_link_ids() -> list[str]:
    """Link ids that WeCom should have."""
    ids = select(AcquisitionLink.link_id).where(*_expected()).order_by(AcquisitionLink.id)
    return [link_id for link_id in session().scalars(ids) if link_id]


def apply_links_seen(seen: Sequence[Json], missing: Sequence[str], asked_at: datetime, app: str) -> Seen:
    """Compare what customer_acquisition/get showed.

    :param seen: each answer with its ``link_id`` added
    :param missing: link ids of ours that a complete list did not name
    :param asked_at: from before the first question; what we learned later counts more
    :param app: name of the app that sees them
    """
    shown = {answer["link_id"]: answer for answer in seen}
    links = {link.link_id: link for link in _locked([*shown, *missing])}
    staff = ensure_staff(userid for answer in seen for userid in _people(answer))
    new = [
        _adopted(answer, staff, asked_at, app) for id_, answer in sorted(shown.items()) if id_ not in links
    ]
    session().add_all(new)
    session().flush()
    recall_events([link.id for link in new])
    current = [link for link in links.values() if _may_learn(link, asked_at)]
    present = [link for link in current if link.link_id in shown]
    changed = [link for link in present if _take_over(link, shown[link.link_id or ""], staff, asked_at)]
    gone = [link for link in current if link.link_id in set(missing) - shown.keys()]
    for link in gone:
        link.status, link.gone_at = LinkState.DELETED, asked_at
    session().flush()
    untouched = len(shown) - len(new) - len(changed)
    return Seen(len(shown), len(new), len(changed), len(gone), untouched)


def _expected() -> tuple[Any, ...]:
    return AcquisitionLink.link_id.is_not(None), AcquisitionLink.status != LinkState.DELETED


def _locked(link_ids: Sequence[str]) -> Sequence[AcquisitionLink]:
    return (
        session()
        .scalars(
            select(AcquisitionLink)
            .where(AcquisitionLink.link_id.in_(link_ids))
            .order_by(AcquisitionLink.id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        .all()
    )


def _may_learn(link: AcquisitionLink, asked_at: datetime) -> bool:
    """Nothing newer is known, and no call is under way whose end decides."""
    newer = any(at is not None and at >= asked_at for at in (link.accepted_at, link.gone_at))
    return link.effect_id is None and link.status is not LinkState.DELETED and not newer


def _people(answer: Json) -> list[str]:
    range_, priority = answer.get("range") or {}, answer.get("priority_option") or {}
    return [*(range_.get("user_list") or []), *(priority.get("priority_userid_list") or [])]


def _adopted(answer: Json, staff: dict[str, int], asked_at: datetime, app: str) -> AcquisitionLink:
    link = AcquisitionLink(
        link_id=answer["link_id"],
        name="",
        status=LinkState.ACTIVE,
        adopted=True,
        app=app,
        tag_ids=[],
        staff_ids=[],
        department_ids=[],
        priority_staff_ids=[],
        version=1,
    )
    _copy(link, answer, staff, asked_at)
    return link


def _take_over(link: AcquisitionLink, answer: Json, staff: dict[str, int], asked_at: datetime) -> bool:
    """Whether WeCom shows something else than it held as far as we knew."""
    link.url = answer["link"].get("url") or link.url
    fields = link_fields(answer["link"], answer)
    if fields == link.accepted:
        return False
    ours = body_of(link, userids_of({*link.staff_ids, *link.priority_staff_ids}))
    if link_fields(ours, ours) == link.accepted:
        _copy(link, answer, staff, asked_at)
    link.accepted, link.accepted_at = fields, asked_at
    return True


def _copy(link: AcquisitionLink, answer: Json, staff: dict[str, int], asked_at: datetime) -> None:
    shown, range_ = answer["link"], answer.get("range") or {}
    priority = answer.get("priority_option") or {}
    link.name = shown.get("link_name") or link.name
    link.url = shown.get("url") or link.url
    link.skip_verify = bool(shown.get("skip_verify", True))
    link.staff_ids = [staff[userid.casefold()] for userid in range_.get("user_list") or []]
    link.department_ids = [int(id_) for id_ in range_.get("department_list") or []]
    link.priority_type = priority.get("priority_type") or None
    link.priority_staff_ids = [staff[u.casefold()] for u in priority.get("priority_userid_list") or []]
    link.made_at = from_epoch(shown["create_time"]) if shown.get("create_time") else link.made_at
    link.accepted, link.accepted_at = link_fields(shown, answer), asked_at

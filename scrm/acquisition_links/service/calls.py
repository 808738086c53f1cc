"""What WeCom holds of links, kept beside what we want; a difference is sent, one call at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select

from scrm.acquisition_links.models import AcquisitionLink, LinkState
from scrm.acquisition_links.service.checks import reason_of
from scrm.kernel.clock import from_epoch, utcnow
from scrm.kernel.db import session
from scrm.staff.models import Staff
from scrm.wecom.desired import ended_calls, send_calls
from scrm.wecom.effects import Intent
from scrm.wecom.link_match import link_fields
from scrm.wecom.models import EffectState

ADD, UPDATE, DELETE = "add_acquisition_link", "update_acquisition_link", "delete_acquisition_link"
KINDS = (ADD, UPDATE, DELETE)
SUBJECT = "acquisition_link:"
UNSEEN = "confirmed by hand without its link_id: read the links from WeCom to adopt it"


def push(links: Sequence[AcquisitionLink]) -> None:
    """Send WeCom what differs from what it holds, unless a call is already under way."""
    userids = userids_of({id_ for link in links for id_ in [*link.staff_ids, *link.priority_staff_ids]})
    wanted = [(link, intent) for link in links if not link.effect_id and (intent := _intent(link, userids))]
    send_calls(wanted)


def settle(effect_ids: Sequence[int]) -> None:
    """Let links know how their calls ended, and send what was changed meanwhile."""
    told = ended_calls(AcquisitionLink, SUBJECT, effect_ids)
    for link, effect in told:
        _learn(link, effect)
    push([link for link, _ in told if not link.error])


def userids_of(staff_ids: set[int]) -> dict[int, str]:
    """Userids of members who have not left, by id."""
    found = select(Staff.id, Staff.userid).where(Staff.id.in_(staff_ids), Staff.left_at.is_(None))
    return dict(session().execute(found).all())


def body_of(link: AcquisitionLink, userids: Mapping[int, str]) -> dict[str, Any]:
    """What the link says, as WeCom takes it."""
    body: dict[str, Any] = {
        "link_name": link.name,
        "range": {"user_list": _named(link.staff_ids, userids), "department_list": list(link.department_ids)},
        "skip_verify": link.skip_verify,
    }
    if link.priority_type is not None:
        people = _named(link.priority_staff_ids, userids)
        body["priority_option"] = {"priority_type": link.priority_type, "priority_userid_list": people}
    return body


def _named(staff_ids: Sequence[int], userids: Mapping[int, str]) -> list[str]:
    return [userids[id_] for id_ in staff_ids if id_ in userids]


def _intent(link: AcquisitionLink, userids: Mapping[int, str]) -> Intent | None:
    """The call that would make WeCom's side equal to ours; None when it is, or when nobody is left in the range."""
    body = body_of(link, userids)
    payload: dict[str, Any]
    if link.status is LinkState.DELETED:
        if not link.link_id or link.gone_at:
            return None
        kind, payload = DELETE, {"link_id": link.link_id}
    elif not body["range"]["user_list"] and not body["range"]["department_list"]:
        return None
    elif link.link_id:
        if link_fields(body, body) == link.accepted:
            return None
        kind, payload = UPDATE, {"link_id": link.link_id, **body}
    else:
        kind, payload = ADD, body
    subject = f"{SUBJECT}{link.id}"
    return Intent(
        kind=kind,
        key=f"{kind}:{subject}:v{link.version}",
        payload=payload,
        subject=subject,
        app=link.app if kind != ADD else None,
    )


def _learn(link: AcquisitionLink, effect: Row[Any]) -> None:
    result = effect.result or {}
    if effect.state is not EffectState.CONFIRMED:
        _fail(link, effect, reason_of(effect.errcode, effect.error or effect.state.value))
    elif effect.kind == DELETE:
        link.gone_at, link.error, link.accepted = utcnow(), None, None
    elif effect.kind == ADD and not result.get("link_id"):
        _fail(link, effect, UNSEEN)
    else:
        link.error, link.accepted = None, link_fields(effect.payload, effect.payload)
        link.accepted_at = link.mended_at = utcnow()
        if effect.kind == ADD:
            _learn_address(link, effect.app, result)


def _learn_address(link: AcquisitionLink, app: str, result: Mapping[str, Any]) -> None:
    link.link_id, link.url, link.app = result["link_id"], result.get("url"), app
    made = result.get("create_time")
    link.made_at = from_epoch(made) if made else None
    if link.status is not LinkState.DELETED:
        link.status = LinkState.ACTIVE


def _fail(link: AcquisitionLink, effect: Row[Any], reason: str) -> None:
    link.error = reason
    if effect.kind == ADD and link.status is not LinkState.DELETED:
        link.status = LinkState.FAILED

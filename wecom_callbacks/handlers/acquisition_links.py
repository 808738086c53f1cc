"""Acquisition links (获客助手): quota, links that break, and how far customers come (wecom-api.md section 3.4)."""

from __future__ import annotations

from datetime import datetime

from scrm.acquisition_links.service.recording import LinkCallback, LinkFact, record_link_events
from scrm.kernel.clock import from_epoch
from wecom_callbacks.registry import Batch, Callback, Reasons, handles, named, text

EVENT = "customer_acquisition"
NEEDED: dict[LinkFact, tuple[str, ...]] = {
    LinkFact.LINK_UNAVAILABLE: ("LinkId",),
    LinkFact.DELETE_LINK: ("LinkId",),
    LinkFact.OPEN_PROFILE: ("LinkId",),
    LinkFact.FRIEND_REQUEST: ("LinkId",),
    LinkFact.CUSTOMER_START_CHAT: ("UserID", "ExternalUserID"),
    LinkFact.MESSAGE_FROM_CUSTOMER: ("ChatKey",),
}
"""Without these an event says nothing that can be recorded; those of the quota speak for themselves."""
FAR = 253_402_300_799  # the last second a date can hold


def link_told(batch: Batch) -> Reasons:
    """One kind of event about links or their quota."""
    fact = LinkFact(str(batch[0].change_type))
    told, ignored = named(batch, *NEEDED.get(fact, ()))
    record_link_events([_callback(one, fact) for one in told])
    return ignored


for _fact in LinkFact:
    handles(EVENT, _fact.value)(link_told)


def _callback(one: Callback, fact: LinkFact) -> LinkCallback:
    fields = one.fields
    return LinkCallback(
        fact=fact,
        at=one.event_at,
        app=one.app,
        link_id=text(fields.get("LinkId")),
        state=text(fields.get("State")),
        userid=text(fields.get("UserID")),
        external_userid=text(fields.get("ExternalUserID")),
        chat_key=text(fields.get("ChatKey")),
        expires_at=_time(fields.get("ExpireTime")),
        expiring=_number(fields.get("ExpireQuotaNum")),
    )


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() and int(value) <= FAR else None


def _time(value: object) -> datetime | None:
    seconds = _number(value)
    return from_epoch(seconds) if seconds else None

"""Customers add and leave members of staff (wecom-api.md section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scrm.acquisition.service.greeting import Newcomer, greet
from scrm.acquisition_links.queries.links import welcomes_of_states
from scrm.customers.events import LostBy
from scrm.customers.service.recording import (
    Add,
    Deletion,
    Pair,
    TransferFailure,
    ensure_follows,
    record_adds,
    record_deletions,
    record_transfer_failures,
)
from scrm.customers.service.wanting import want_refresh, want_refresh_after
from wecom_callbacks.registry import Batch, Callback, Reasons, handles, named, text

EVENT = "change_external_contact"
BOTH = ("UserID", "ExternalUserID")


@handles(EVENT, "add_external_contact")
def added(batch: Batch) -> Reasons:
    """The member and the customer are contacts now."""
    return _record(batch, half=False)


@handles(EVENT, "add_half_external_contact")
def half_added(batch: Batch) -> Reasons:
    """The customer can chat, the member has not added back (skip_verify)."""
    return _record(batch, half=True)


def _record(batch: Batch, *, half: bool) -> Reasons:
    told, ignored = named(batch, *BOTH)
    adds = [Add(*_pair(one), one.event_at, half, _text(one, "State")) for one in told]
    _greet(told, record_adds(adds))
    return ignored


@handles(EVENT, "msg_audit_approved")
def archiving_approved(batch: Batch) -> Reasons:
    """The customer agreed to session archiving; only now may a refused welcome be sent (41053)."""
    told, ignored = named(batch, *BOTH)
    want_refresh(one.fields["ExternalUserID"] for one in told)
    _greet(told, ensure_follows(_pair(one) for one in told if _text(one, "WelcomeCode")))
    return ignored


def _greet(told: Iterable[Callback], follow_ids: dict[Pair, int]) -> None:
    newcomers = [
        Newcomer(follow_ids[_key(one)], code, one.event_at, _text(one, "State"), one.app)
        for one in told
        if (code := _text(one, "WelcomeCode")) and not one.replayed
    ]
    if newcomers:
        by_link = welcomes_of_states({one.state for one in newcomers if one.state})
        greet([replace(one, welcome_id=by_link.get(one.state or "")) for one in newcomers])


@handles(EVENT, "edit_external_contact")
def edited(batch: Batch) -> Reasons:
    """Remark, description or tags were edited in a client; the event does not say which, WeCom does."""
    told, ignored = named(batch, *BOTH)
    newest = sorted(told, key=lambda one: one.event_at)
    want_refresh_after({one.fields["ExternalUserID"]: one.event_at for one in newest})
    return ignored


@handles(EVENT, "del_external_contact")
def deleted_by_staff(batch: Batch) -> Reasons:
    """The member deleted the customer, or an on-job transfer took the customer away (Source)."""
    told, ignored = named(batch, *BOTH)
    record_deletions(
        [Deletion(*_pair(one), one.event_at, LostBy.STAFF, _text(one, "Source")) for one in told]
    )
    return ignored


@handles(EVENT, "del_follow_user")
def deleted_by_customer(batch: Batch) -> Reasons:
    """The customer deleted the member; a one-way relation remains at WeCom."""
    told, ignored = named(batch, *BOTH)
    record_deletions([Deletion(*_pair(one), one.event_at, LostBy.CUSTOMER) for one in told])
    return ignored


@handles(EVENT, "transfer_fail")
def transfer_failed(batch: Batch) -> Reasons:
    """The customer refused the new member, or that member's contacts are full."""
    told, ignored = named(batch, *BOTH)
    record_transfer_failures(
        [TransferFailure(*_pair(one), one.event_at, _text(one, "FailReason") or "unknown") for one in told]
    )
    return ignored


def _pair(callback: Callback) -> Pair:
    return callback.fields["UserID"], callback.fields["ExternalUserID"]


def _key(callback: Callback) -> Pair:
    userid, external_userid = _pair(callback)
    return userid.casefold(), external_userid


def _text(callback: Callback, name: str) -> str | None:
    return text(callback.fields.get(name))

"""Customers add and leave members of staff (wecom-api.md section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scrm.acquisition.service.greeting import Newcomer, greet
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
from wecom_callbacks.registry import Callback, handles

EVENT = "change_external_contact"


@handles(EVENT, "add_external_contact")
def added(batch: list[Callback]) -> None:
    """The member and the customer are contacts now."""
    _record(batch, half=False)


@handles(EVENT, "add_half_external_contact")
def half_added(batch: list[Callback]) -> None:
    """The customer can chat, the member has not added back (skip_verify)."""
    _record(batch, half=True)


def _record(batch: Sequence[Callback], *, half: bool) -> None:
    told = _named(batch)
    adds = [Add(*_pair(one), one.event_at, half, _text(one, "State")) for one in told]
    _greet(told, record_adds(adds))


@handles(EVENT, "msg_audit_approved")
def archiving_approved(batch: list[Callback]) -> None:
    """The customer agreed to session archiving; only now may a refused welcome be sent (41053)."""
    told = _named(batch)
    want_refresh(one.fields["ExternalUserID"] for one in told)
    _greet(told, ensure_follows(_pair(one) for one in told if _text(one, "WelcomeCode")))


def _greet(told: Iterable[Callback], follow_ids: dict[Pair, int]) -> None:
    newcomers = [
        Newcomer(follow_ids[_key(one)], code, one.event_at, _text(one, "State"), one.app)
        for one in told
        if (code := _text(one, "WelcomeCode")) and not one.replayed
    ]
    if newcomers:
        greet(newcomers)


@handles(EVENT, "edit_external_contact")
def edited(batch: list[Callback]) -> None:
    """Remark, description or tags were edited in a client; the event does not say which, WeCom does."""
    newest = sorted(_named(batch), key=lambda one: one.event_at)
    want_refresh_after({one.fields["ExternalUserID"]: one.event_at for one in newest})


@handles(EVENT, "del_external_contact")
def deleted_by_staff(batch: list[Callback]) -> None:
    """The member deleted the customer, or an on-job transfer took the customer away (Source)."""
    record_deletions(
        [Deletion(*_pair(one), one.event_at, LostBy.STAFF, _text(one, "Source")) for one in _named(batch)]
    )


@handles(EVENT, "del_follow_user")
def deleted_by_customer(batch: list[Callback]) -> None:
    """The customer deleted the member; a one-way relation remains at WeCom."""
    record_deletions([Deletion(*_pair(one), one.event_at, LostBy.CUSTOMER) for one in _named(batch)])


@handles(EVENT, "transfer_fail")
def transfer_failed(batch: list[Callback]) -> None:
    """The customer refused the new member, or that member's contacts are full."""
    record_transfer_failures(
        [
            TransferFailure(*_pair(one), one.event_at, _text(one, "FailReason") or "unknown")
            for one in _named(batch)
        ]
    )


def _named(batch: Iterable[Callback]) -> list[Callback]:
    """Callbacks that name both sides; one that does not says nothing that can be recorded."""
    return [one for one in batch if _text(one, "UserID") and _text(one, "ExternalUserID")]


def _pair(callback: Callback) -> Pair:
    return callback.fields["UserID"], callback.fields["ExternalUserID"]


def _key(callback: Callback) -> Pair:
    userid, external_userid = _pair(callback)
    return userid.casefold(), external_userid


def _text(callback: Callback, name: str) -> str | None:
    value = callback.fields.get(name)
    return value if isinstance(value, str) and value else None

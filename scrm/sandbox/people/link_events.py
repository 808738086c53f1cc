"""The customer_acquisition callbacks (wecom-api.md §3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.bodies import cdata, optional, plain

if TYPE_CHECKING:
    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.acquisition import Link, LinkCustomer, Quota
    from scrm.sandbox.runtime import Sandbox

EVENT = "customer_acquisition"


def link_event(
    sandbox: Sandbox, change: str, link: Link, state: str | None = None, chat_key: str | None = None
) -> list[Delivery]:
    """open_profile, friend_request, message_from_customer, link_unavailable, delete_link."""
    rest = cdata("LinkId", link.link_id) + optional("ChatKey", chat_key) + optional("State", state)
    return _emit(sandbox, change, rest, link.people)


def chat_started(sandbox: Sandbox, customer: LinkCustomer) -> list[Delivery]:
    """customer_start_chat: the member got the customer's first message."""
    rest = cdata("UserID", customer.userid) + cdata("ExternalUserID", customer.external_userid)
    return _emit(sandbox, "customer_start_chat", rest, (customer.userid,))


def quota_event(sandbox: Sandbox, change: str, expiring: Quota | None = None) -> list[Delivery]:
    """balance_low, balance_exhausted, balance_increased; quota_expire_soon with what expires when."""
    rest = ""
    if expiring is not None:
        rest = plain("ExpireTime", expiring.expires) + plain("ExpireQuotaNum", expiring.balance)
    return _emit(sandbox, change, rest, ())


def _emit(sandbox: Sandbox, change: str, rest: str, people: tuple[str, ...]) -> list[Delivery]:
    return sandbox.outbox.event(EVENT, change, cdata("ChangeType", change) + rest, userids=people)

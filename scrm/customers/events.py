"""What can happen to customers; ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LostBy(StrEnum):
    """Who ended a follow relation."""

    STAFF = "staff"
    CUSTOMER = "customer"


class ContactFact(StrEnum):
    """What a callback (or WeCom itself, when asked) said about a follow relation."""

    HALF_ADDED = "half_added"
    ADDED = "added"
    LOST_BY_STAFF = "lost_by_staff"
    LOST_BY_CUSTOMER = "lost_by_customer"
    TRANSFER_FAILED = "transfer_failed"


@dataclass(frozen=True)
class ContactRecorded:
    """A fact of the past was recorded, in whatever order; may be told again. For histories, not for reactions.

    :param found: no callback told it: WeCom no longer showed the relation when it was asked ``at`` this moment
    :param replaced: the newest add (time, state) that was known before a newer one took its place in the relation; WeCom
        may have shown it without any callback
    """

    follow_id: int
    customer_id: int
    staff_id: int
    fact: ContactFact
    at: datetime
    note: str | None = None
    found: bool = False
    replaced: tuple[datetime, str | None] | None = None


@dataclass(frozen=True)
class CustomersFound:
    """External contacts were named for the first time."""

    customer_ids: tuple[int, ...]


@dataclass(frozen=True)
class CustomersWritten:
    """A full sync wrote these customers: they are new, or fields differed. Not told one by one, and never an add."""

    customer_ids: tuple[int, ...]


@dataclass(frozen=True)
class DetailsWanted:
    """Somebody said that what we know of these customers is out of date."""

    customer_ids: tuple[int, ...]


@dataclass(frozen=True)
class FollowAdded:
    """A member gained a customer (fully or half); told once per add, again after a loss."""

    follow_id: int
    customer_id: int
    staff_id: int
    at: datetime


@dataclass(frozen=True)
class FollowLost:
    """A member lost a customer, or the customer left."""

    follow_id: int
    customer_id: int
    staff_id: int
    by: LostBy
    at: datetime


@dataclass(frozen=True)
class FollowChanged:
    """Remark, description, state or another field of the relation changed, or it was seen for the first time."""

    follow_id: int
    customer_id: int
    staff_id: int


@dataclass(frozen=True)
class CustomerChanged:
    """Fields of the customer itself changed."""

    customer_id: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class FollowTagsSeen:
    """WeCom showed the enterprise tags of a relation; the tags package reconciles them."""

    follow_id: int
    customer_id: int
    wecom_tag_ids: tuple[str, ...]
    seen_at: datetime

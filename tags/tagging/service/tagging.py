"""A person tags a customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scrm.customers.queries import customer_by_id
from scrm.kernel.errors import InvalidInput
from scrm.kernel.permissions import Scope
from tags.queries import exclusive_rivals, live_follow_ids, tagged_follow_ids, unknown_tags
from tags.service import Wish, assign, overrule


@dataclass(frozen=True)
class TaggingRequest:
    """What a person wants.

    :param staff_id: on whose relation; None: on every present one (taking away: on every one)
    :param actor: the source, ``manual:<who>``
    """

    customer_id: int
    staff_id: int | None
    add: Sequence[int]
    remove: Sequence[int]
    actor: str


def tag_customer(scope: Scope, request: TaggingRequest) -> None:
    """Set and take away tags by hand; WeCom is told afterwards.

    :raises NotFound: the customer does not exist inside the scope
    :raises InvalidInput: a tag does not exist, two of them exclude each other, or nobody in the scope follows the
        customer now
    """
    customer_by_id(scope, request.customer_id)
    _refuse_unknown("add", request.add)
    _refuse_unknown("remove", request.remove)
    _refuse_rivals(request.add)
    if request.add:
        _add(scope, request)
    if request.remove:
        follows = tagged_follow_ids(scope, request.customer_id, request.staff_id)
        overrule({(follow_id, tag_id) for follow_id in follows for tag_id in request.remove}, request.actor)


def _add(scope: Scope, request: TaggingRequest) -> None:
    follows = live_follow_ids(scope, request.customer_id, request.staff_id)
    if not follows:
        field = "add" if request.staff_id is None else "staff_id"
        raise InvalidInput.field(
            field, "nobody follows this customer now; WeCom keeps tags per member and customer"
        )
    assign([Wish(f, tag_id, request.actor, add=True) for f in follows for tag_id in request.add])


def _refuse_unknown(field: str, tag_ids: Sequence[int]) -> None:
    if missing := unknown_tags(tag_ids):
        raise InvalidInput.field(
            f"{field}.{list(tag_ids).index(missing[0])}", f"there is no tag {missing[0]}"
        )


def _refuse_rivals(tag_ids: Sequence[int]) -> None:
    for group in exclusive_rivals(tag_ids):
        raise InvalidInput.field(
            "add",
            f"the tags {group.tag_ids} exclude each other: a relation has one tag of {group.name} at most",
        )

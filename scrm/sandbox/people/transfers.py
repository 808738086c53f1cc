"""Customers changing hands: 24 hours of waiting, then the takeover or its failure (wecom-api.md §4.12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.people import Follow
from scrm.sandbox.model.transfers import DONE, NO_RECORD, OVER_LIMIT, REFUSED, WAITING, Transfer
from scrm.sandbox.people.contacts import welcome_round
from scrm.sandbox.people.events import added_follow, ended_follow, failed_transfer
from scrm.sandbox.people.natural_days import within_days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.people import Member
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

BAD_CUSTOMER, NOT_A_FOLLOWER, TOO_OFTEN, TAKEOVER_FULL = 40096, 40131, 40128, 40099
UNDER_WAY_ELSEWHERE, UNDER_WAY_HERE = 40100, 40129
CAP_DAYS = 90
ASSIGNED_BY_ADMIN = 202  # add_way, §4.1
REFUSED_REASON, FULL_REASON = "customer_refused", "customer_limit_exceed"
BY_TRANSFER = "DELETE_BY_TRANSFER"


def start(
    sandbox: Sandbox, handover: Member, takeover: Member, external_userid: str, message: str | None
) -> int:
    """Begin one transfer; returns 0 or the errcode that stands beside this customer."""
    world = sandbox.world
    code = _refusal(world, handover, takeover, external_userid)
    if code:
        return code
    now = world.clock.now()
    transfer = Transfer(
        handover=handover.userid,
        takeover=takeover.userid,
        external_userid=external_userid,
        resigned=bool(handover.left_at),
        created=now,
        ends=now + world.limits.transfer_seconds,
        message=message,
    )
    # The newest attempt goes last, as a list of records would show it.
    records = world.transfers.pairs.setdefault((handover.userid, takeover.userid), {})
    records.pop(external_userid, None)
    records[external_userid] = world.transfers.under_way[external_userid] = transfer
    sandbox.scheduler.at(transfer.ends, _when_due(sandbox, transfer))
    return 0


def replan(sandbox: Sandbox) -> None:
    """Plan again, after a restart, what was under way."""
    for transfer in sandbox.world.transfers.under_way.values():
        sandbox.scheduler.at(transfer.ends, _when_due(sandbox, transfer))


def refuse(sandbox: Sandbox, external_userid: str) -> list[Delivery]:
    """The customer says no to the transfer under way: transfer_fail, and everything stays as it was."""
    transfer = _under_way(sandbox.world, external_userid)
    return _fail(sandbox, transfer, REFUSED, REFUSED_REASON)


def finish(sandbox: Sandbox, external_userid: str) -> list[Delivery]:
    """The transfer under way happens now, as if its 24 hours were over."""
    return _complete(sandbox, _under_way(sandbox.world, external_userid))


def move(sandbox: Sandbox, old: Member, new: Member, external_userid: str) -> list[Delivery]:
    """The relation passes from one member to the other, with remark, description and tags."""
    world = sandbox.world
    customer = world.customers[external_userid]
    given = old.remove(external_userid)
    if given is None:
        raise ControlError(f"{old.userid!r} and {external_userid!r} are not contacts", 409)
    customer.follows.remove(given)
    made = [] if old.left_at else ended_follow(sandbox, given, "del_external_contact", BY_TRANSFER)
    follow = new.follows.get(external_userid)
    if follow is not None and not follow.half and not follow.deleted_by_customer:
        return made
    if follow is not None:
        new.remove(external_userid)
        customer.follows.remove(follow)
    taken = _inherited(given, new.userid, world.clock.seconds())
    customer.follows.append(taken)
    new.add(taken)
    welcome = welcome_round(world, new, customer, taken) if world.limits.transfer_welcome_code else None
    return made + added_follow(sandbox, taken, "add_external_contact", welcome)[0]


def unassigned(world: World) -> Iterator[tuple[Member, Follow]]:
    """Customers of resigned members whom nobody has taken over nor is about to, oldest resignation first."""
    for member in sorted(world.left.values(), key=lambda item: item.left_at):
        for follow in member.customers():
            if follow.external_userid not in world.transfers.under_way:
                yield member, follow


def _inherited(given: Follow, userid: str, now: int) -> Follow:
    return Follow(
        userid=userid,
        external_userid=given.external_userid,
        createtime=now,
        add_way=ASSIGNED_BY_ADMIN,
        remark=given.remark,
        description=given.description,
        tags=given.tags,
        corp_name=given.corp_name,
        mobiles=given.mobiles,
        oper_userid=given.userid,
    )


def _refusal(world: World, handover: Member, takeover: Member, external_userid: str) -> int:
    if external_userid not in world.customers:
        return BAD_CUSTOMER
    follow = handover.follows.get(external_userid)
    if follow is None or follow.half:
        return NOT_A_FOLLOWER
    open_one = world.transfers.under_way.get(external_userid)
    if open_one is not None:
        return UNDER_WAY_HERE if open_one.handover == handover.userid else UNDER_WAY_ELSEWHERE
    if not handover.left_at and _too_often(world, external_userid):
        return TOO_OFTEN
    return TAKEOVER_FULL if takeover.is_full() else 0


def _too_often(world: World, external_userid: str) -> bool:
    times = world.transfers.completed.get(external_userid, [])
    cap = world.limits.transfers_per_90_days
    return bool(cap) and within_days(times, world.clock.now(), CAP_DAYS) >= cap


def _when_due(sandbox: Sandbox, transfer: Transfer) -> Callable[[], object]:
    def happen() -> None:
        if transfer.status == WAITING:
            _complete(sandbox, transfer)

    return happen


def _complete(sandbox: Sandbox, transfer: Transfer) -> list[Delivery]:
    world = sandbox.world
    old = world.members.get(transfer.handover) or world.left.get(transfer.handover)
    new = world.members.get(transfer.takeover)
    if old is None or new is None or transfer.external_userid not in old.follows:
        _close(world, transfer, NO_RECORD)  # one of the two sides is gone meanwhile
        return []
    if new.is_full():
        return _fail(sandbox, transfer, OVER_LIMIT, FULL_REASON)
    _close(world, transfer, DONE)
    if not transfer.resigned:
        world.transfers.completed.setdefault(transfer.external_userid, []).append(world.clock.now())
    return move(sandbox, old, new, transfer.external_userid)


def _fail(sandbox: Sandbox, transfer: Transfer, status: int, reason: str) -> list[Delivery]:
    _close(sandbox.world, transfer, status)
    return failed_transfer(sandbox, transfer.takeover, transfer.external_userid, reason)


def _close(world: World, transfer: Transfer, status: int) -> None:
    transfer.status, transfer.ends = status, world.clock.now()
    world.transfers.under_way.pop(transfer.external_userid, None)


def _under_way(world: World, external_userid: str) -> Transfer:
    world.customer(external_userid)
    found = world.transfers.under_way.get(external_userid)
    if found is None:
        raise ControlError(f"no transfer of {external_userid!r} is under way", 409)
    return found

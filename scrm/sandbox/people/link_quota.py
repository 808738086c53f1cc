"""How many adds the acquisition links may still make, and who is told when it gets little (§3.4, §4.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.model.acquisition import Quota
from scrm.sandbox.people.link_events import quota_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

DAY = 86_400
LOW = 20  # balance_low is told below this
WARNING_DAYS = (14, 7, 3, 2, 1)


def alive(world: World) -> list[Quota]:
    """What has not expired, the first to expire first."""
    now = world.clock.now()
    return sorted((item for item in world.acquisition.quotas if item.expires > now), key=lambda q: q.expires)


def balance(world: World) -> int:
    """Adds left."""
    return sum(item.balance for item in alive(world))


def use(sandbox: Sandbox) -> list[Delivery]:
    """One add takes one from what expires first; balance_low and balance_exhausted are told once each."""
    quota = next(item for item in alive(sandbox.world) if item.balance)
    quota.balance -= 1
    left = balance(sandbox.world)
    if left == 0:
        return quota_event(sandbox, "balance_exhausted")
    return quota_event(sandbox, "balance_low") if left == LOW - 1 else []


def buy(sandbox: Sandbox, number: int, expires: int) -> list[Delivery]:
    """More adds; balance_increased is told when there were none."""
    before = balance(sandbox.world)
    quota = Quota(expires, number, number)
    sandbox.world.acquisition.quotas.append(quota)
    _plan_warnings(sandbox, quota)
    return quota_event(sandbox, "balance_increased") if number and not before else []


def leave_only(sandbox: Sandbox, left: int) -> list[Delivery]:
    """Everything but `left` adds is used up, as if people had come; tells what that crosses."""
    before, made = balance(sandbox.world), []
    over = before - left
    for quota in alive(sandbox.world):
        taken = min(max(0, over), quota.balance)
        quota.balance -= taken
        over -= taken
    now = balance(sandbox.world)
    if now < LOW <= before:
        made += quota_event(sandbox, "balance_low")
    if now == 0 < before:
        made += quota_event(sandbox, "balance_exhausted")
    return made


def replan(sandbox: Sandbox) -> None:
    """Plan the warnings again after a restart."""
    for quota in alive(sandbox.world):
        _plan_warnings(sandbox, quota)


def _plan_warnings(sandbox: Sandbox, quota: Quota) -> None:
    now = sandbox.world.clock.now()
    for days in WARNING_DAYS:
        due = quota.expires - days * DAY
        if due > now:
            sandbox.scheduler.at(due, _warning(sandbox, quota))


def _warning(sandbox: Sandbox, quota: Quota) -> Callable[[], object]:
    return lambda: quota_event(sandbox, "quota_expire_soon", quota) if quota.balance else None

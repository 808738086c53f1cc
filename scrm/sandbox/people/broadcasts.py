"""Members confirming mass sends, and what each recipient then gets (wecom-api.md §4.9)."""

from __future__ import annotations

import calendar
import time
from collections import deque
from typing import TYPE_CHECKING

from scrm.sandbox.errors import ControlError
from scrm.sandbox.model.mass_send import NOT_A_FRIEND, NOT_SENT, OVER_CAP, SENT, TASK_SENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.model.mass_send import MassSend, SenderTask
    from scrm.sandbox.model.world import World
    from scrm.sandbox.runtime import Sandbox

CORP_DEFAULT = -1
DAY, WEEK = 86_400, 7 * 86_400
ZONE = 8 * 3_600  # natural days are Beijing days
CAPS = ("month_days", "week_7", "day_1", "off")
KEPT_SENDS = 31


def plan_confirmations(sandbox: Sandbox, task: MassSend) -> None:
    """Let every sender confirm by themselves as they are used to: after some seconds, or never."""
    world = sandbox.world
    ready = task.created + world.limits.mass_send_dispatch_seconds
    for sender in task.senders.values():
        wait = world.members[sender.userid].confirm_seconds
        if wait == CORP_DEFAULT:
            wait = world.limits.staff_confirm_seconds
        if wait is None:
            continue
        sender.due = ready + wait
        sandbox.scheduler.at(sender.due, _confirmation(world, task, sender))


def replan(sandbox: Sandbox) -> None:
    """Plan again, after a restart, what members had not yet confirmed."""
    for task in sandbox.world.mass_sends.values():
        for sender in task.senders.values():
            if sender.due is not None and sender.status == NOT_SENT:
                sandbox.scheduler.at(sender.due, _confirmation(sandbox.world, task, sender))


def _confirmation(world: World, task: MassSend, sender: SenderTask) -> Callable[[], None]:
    """A planned confirmation; a no-op when the task was cancelled or the member has sent already."""

    def press_send() -> None:
        if not task.cancelled and sender.status == NOT_SENT:
            _send(world, task, sender)

    return press_send


def confirm(world: World, msgid: str, userids: list[str] | None) -> list[str]:
    """Members press send now (None: everybody who has not yet); returns who did. ControlError otherwise."""
    task = world.mass_sends.get(msgid)
    if task is None:
        raise ControlError(f"there is no mass send {msgid!r}", 404)
    if task.cancelled:
        raise ControlError("this mass send was cancelled", 409)
    if world.clock.now() - task.created < world.limits.mass_send_dispatch_seconds:
        raise ControlError("this mass send is still being dispatched", 409)
    chosen = list(task.senders) if userids is None else userids
    for userid in chosen:
        if userid not in task.senders:
            raise ControlError(f"{userid!r} is no sender of this mass send", 404)
    waiting = [task.senders[userid] for userid in chosen if task.senders[userid].status == NOT_SENT]
    for sender in waiting:
        _send(world, task, sender)
    return [sender.userid for sender in waiting]


def _send(world: World, task: MassSend, sender: SenderTask) -> None:
    now = world.clock.now()
    for recipient in sender.recipients:
        status = _outcome(world, task, sender.userid, recipient, now)
        sender.recipients[recipient] = (status, int(now) if status == SENT else None)
    sender.status, sender.send_time = TASK_SENT, int(now)


def _outcome(world: World, task: MassSend, userid: str, recipient: str, now: float) -> int:
    if task.chat_type == "single":
        follow = world.follow(userid, recipient)
        if follow is None or follow.deleted_by_customer:
            return NOT_A_FRIEND
    elif recipient not in world.groups or world.groups[recipient].dismissed:
        return NOT_A_FRIEND
    sends = world.received.setdefault(recipient, deque(maxlen=KEPT_SENDS))
    if not _may_receive(world.limits.receive_cap, sends, now):
        return OVER_CAP
    sends.append(now)
    return SENT


def _may_receive(cap: str, sends: deque[float], now: float) -> bool:
    if cap == "day_1":
        return not any(_day(at) == _day(now) for at in sends)
    if cap == "week_7":
        return sum(1 for at in sends if (_day(at) + 3) // 7 == (_day(now) + 3) // 7) < WEEK // DAY
    if cap == "month_days":
        month = time.gmtime(now + ZONE)[:2]
        days = calendar.monthrange(*month)[1]
        return sum(1 for at in sends if time.gmtime(at + ZONE)[:2] == month) < days
    return True


def _day(at: float) -> int:
    return int((at + ZONE) // DAY)

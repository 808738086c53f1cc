"""How long telling WeCom takes."""

from __future__ import annotations

from scrm.kernel.settings import settings
from scrm.wecom.limits import Rules
from scrm.wecom.queries import limits_left

MARK_TAG = "externalcontact/mark_tag"


def calls_take(calls: int) -> float:
    """Seconds until WeCom was told of so many relations, as its limits stand now: what is left of them goes at once,
    the rest as it comes back.
    """
    left = {
        (window.per, window.only, window.seconds): window.left
        for each in limits_left(apis=[MARK_TAG])
        for window in each.windows
    }
    waits = [0.0]
    for window in Rules(settings().governor, MARK_TAG).windows:
        row = window.row
        at_once = left.get((row.per, row.only, row.window), int(window.burst))
        waits.append(max(0, calls - at_once) * row.window / window.figure)
    return max(waits)

"""The span of days a statistics call asks for (wecom-api.md §4.10)."""

from __future__ import annotations

from scrm.sandbox.api.fields import integer, invalid
from scrm.sandbox.api.registry import Call
from scrm.sandbox.people.natural_days import day_of

SPAN_DAYS, PAST_DAYS = 30, 180


def days(call: Call, first: str, last: str) -> range:
    """Natural days from one field to the other, both included; 40058 beyond 30 days or 180 days back."""
    begin = integer(call.body, first, -1)
    end = integer(call.body, last, begin)
    today = day_of(call.world.clock.now())
    if begin < 0 or end < begin:
        raise invalid(f"{first}, {last}", "must be a span of time")
    if end - begin > SPAN_DAYS * 86_400 or today - day_of(begin) > PAST_DAYS:
        raise invalid(f"{first}, {last}", f"may span {SPAN_DAYS} days within the last {PAST_DAYS}")
    return range(day_of(begin), day_of(end) + 1)

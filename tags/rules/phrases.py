"""Comparisons as people say them, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tags.rules.leaves import Language, enumerated

SIMPLE: dict[str, tuple[str, str]] = {
    "equals": ("等于{}", "is {}"),
    "not_equals": ("有值且不等于{}", "has a value other than {}"),
    "any_of": ("是{}之一", "is one of {}"),
    "all_of": ("包括全部{}", "holds all of {}"),
    "none_of": ("有值且不是{}之一", "has a value, none of {}"),
    "contains": ("包含{}", "contains {}"),
    "starts_with": ("以{}开头", "starts with {}"),
    "lt": ("小于{}", "is less than {}"),
    "lte": ("不大于{}", "is at most {}"),
    "gt": ("大于{}", "is greater than {}"),
    "gte": ("不小于{}", "is at least {}"),
    "on": ("是{}", "is on {}"),
    "before": ("早于{}", "is before {}"),
    "after": ("晚于{}", "is after {}"),
    "is_present": ("有值", "has a value"),
    "is_missing": ("没有值", "has no value"),
}
Told = Callable[[Any], str]


def plain(value: Any) -> str:
    """A value in quotes, a number bare."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number(value) if isinstance(value, (int, float)) else f"「{value}」"


def number(value: float) -> str:
    """A number without superfluous zeros: ``100``, ``19.9``."""
    return str(value) if isinstance(value, int) else f"{Decimal(str(value)).normalize():f}"


def comparison_words(args: Mapping[str, Any], language: Language, told: Told = plain) -> str:
    """``等于「北京」``, ``is between 1 and 5``: the operator of ``args`` with its values.

    :param told: how a value is shown, for codes that have names
    """
    op, zh = args["op"], language == "zh"
    if op == "between":
        low, high = map(told, args["values"])
        return f"在{low}到{high}之间" if zh else f"is between {low} and {high}"
    if op in ("last_days", "next_days"):
        return _days_words(op, args["days"], zh)
    if op == "anniversary":
        return _anniversary_words(args["days"], args.get("calendar") == "lunar", zh)
    values = [args["value"]] if args.get("value") is not None else args.get("values") or ()
    return SIMPLE[op][0 if zh else 1].format(enumerated(map(told, values), language))


def _days_words(op: str, days: int, zh: bool) -> str:
    if zh:
        return f"在{'最近' if op == 'last_days' else '未来'}{days}天内（含今天）"
    return f"is within the {'last' if op == 'last_days' else 'next'} {days} days, today included"


def _anniversary_words(days: int, lunar: bool, zh: bool) -> str:
    if zh:
        return f"的周年{'（农历）' if lunar else ''}在未来{days}天内（含今天）"
    return f"comes round within the next {days} days{' (lunar calendar)' if lunar else ''}, today included"

"""Which rule answers a text: pure comparison, no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from scrm.conversations.models import AutoReply, Channel, MatchKind
from scrm.kernel.clock import in_zone

END_OF_DAY = "24:00"


def first_match(
    rules: Sequence[AutoReply], channel: Channel, text: str, at: datetime, zone: ZoneInfo
) -> AutoReply | None:
    """The rule that decides about a text said at ``at``; ``rules`` come highest priority first, then oldest."""
    said = normal(text)
    for rule in rules:
        if rule.channel == channel and says(rule, said) and in_hours(rule, at, zone):
            return rule
    return None


def first_welcome(
    rules: Sequence[AutoReply], scene: str | None, at: datetime, zone: ZoneInfo
) -> AutoReply | None:
    """The rule that greets somebody who opened the conversation through ``scene``; order of ``rules`` as above."""
    for rule in rules:
        greets = rule.match is MatchKind.ENTERS and (not rule.keywords or scene in rule.keywords)
        if greets and in_hours(rule, at, zone):
            return rule
    return None


def normal(text: str) -> str:
    """A text as it is compared: without case and without white space around it."""
    return text.strip().casefold()


def says(rule: AutoReply, said: str) -> bool:
    """Whether one of the rule's keywords is in the (normal) text, the way the rule compares."""
    if rule.match is MatchKind.ENTERS:
        return False
    keywords = [normal(keyword) for keyword in rule.keywords]
    if rule.match is MatchKind.EXACT:
        return said in keywords
    if rule.match is MatchKind.STARTS_WITH:
        return any(said.startswith(keyword) for keyword in keywords)
    return any(keyword in said for keyword in keywords)


def in_hours(rule: AutoReply, at: datetime, zone: ZoneInfo) -> bool:
    """Whether the rule works at this moment: inside its office hours, or only outside them, or always."""
    if not rule.office_hours:
        return True
    return is_open(rule.office_hours, at, zone) is not rule.outside_office_hours


def is_open(hours: Mapping[str, Any], at: datetime, zone: ZoneInfo) -> bool:
    """Whether an office with ``{"days": [1..7], "from": "HH:MM", "to": "HH:MM"}`` is open.

    ``from`` belongs to the hours, ``to`` does not. Hours that pass midnight (22:00 to 06:00) belong to the day on
    which they begin. Days are ISO: 1 is Monday.
    """
    local = in_zone(at, zone)
    now, day = local.time(), local.isoweekday()
    opens, closes = time.fromisoformat(hours["from"]), _closing(hours["to"])
    if closes is None or opens < closes:
        return day in hours["days"] and opens <= now and (closes is None or now < closes)
    yesterday = 7 if day == 1 else day - 1
    return (day in hours["days"] and now >= opens) or (yesterday in hours["days"] and now < closes)


def _closing(value: str) -> time | None:
    return None if value == END_OF_DAY else time.fromisoformat(value)

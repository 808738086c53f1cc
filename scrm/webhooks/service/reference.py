"""The tables of docs/webhooks.md, written from the program, so that they say what it does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from scrm.webhooks.service.catalogue import FAT, TYPES, EventType, Json
from scrm.webhooks.service.recording import RETRIES


def event_table() -> str:
    """One row per type of events."""
    head = "| type | 说明 | meaning | `data` | fat adds |\n|---|---|---|---|---|\n"
    return head + "\n".join(map(_row, TYPES.values()))


def _row(each: EventType) -> str:
    fields = [_named(name, shape) for name, shape in each.common.items()]
    if each.item:
        fields.append(f"`items[]`: {_fields(each.item)}")
    fat = f"`{each.fat}[]`" if each.fat else ""
    return f"| `{each.name}` | {each.zh} | {each.en} | {', '.join(fields)} | {fat} |"


def fat_table() -> str:
    """What fat endpoints get besides."""
    rows = (f"| `{name}[]` | {_fields(shape)} |" for name, shape in FAT.items())
    return "| in `data` | fields |\n|---|---|\n" + "\n".join(rows)


def _fields(shape: Mapping[str, Json]) -> str:
    return ", ".join(_named(name, each) for name, each in shape.items())


def _named(name: str, shape: Json) -> str:
    if "enum" in shape:
        return f"`{name}` ({' / '.join(shape['enum'])})"
    return f"`{name}`"


def retry_table() -> str:
    """When each attempt is made, without the jitter."""
    rows, since = ["| 1 | at once | 0:00:00 |"], timedelta()
    for number, seconds in enumerate(RETRIES, 2):
        since += timedelta(seconds=seconds)
        rows.append(f"| {number} | {_span(seconds)} | {_hours(since)} |")
    return "| attempt | after | since the event |\n|---|---|---|\n" + "\n".join(rows)


def _span(seconds: int) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _hours(since: timedelta) -> str:
    minutes, seconds = divmod(int(since.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def tables() -> dict[str, str]:
    """By name of its place in the page (between ``<!-- name -->`` and ``<!-- end -->``), each table."""
    return {"events": event_table(), "fat": fat_table(), "retries": retry_table()}

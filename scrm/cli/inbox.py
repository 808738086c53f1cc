"""`scrm inbox list|show|replay|stats`: look at received callbacks and have them handled again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from scrm.kernel.storable import BIGGEST

if TYPE_CHECKING:
    from wecom_callbacks.models import InboxRow

STATES = click.Choice(["received", "processing", "done", "ignored", "failed", "dead"])
COLUMNS = ("id", "state", "lane", "event", "change_type", "received_at", "attempts", "reason", "error")
STATISTICS = ("event", "callbacks", "not done", "lag p50/p99 s", "delay p50/p99 s")
OTHER_STATES = ("ignored", "waiting", "failed", "dead")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def inbox_group() -> None:
    """Callbacks received from WeCom.

    \b
    Example: scrm inbox list --state dead
    """


@inbox_group.command("list")
@click.option("--state", type=STATES, help="Only callbacks in this state.")
@click.option("--event", help="Only this event, such as change_external_contact or message.text.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@AS_JSON
def list_rows(state: str | None, event: str | None, limit: int, as_json: bool) -> None:
    """List callbacks, newest first.

    \b
    Example: scrm inbox list --state dead --json
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table
    from wecom_callbacks.queries import inbox_page

    with application("inbox", settings=attached_settings()).app_context():
        items = inbox_page({"state": state, "event": event, "limit": limit})["items"]
        rows = [_brief(row) for row in items]
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} callbacks", COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


@inbox_group.command("show")
@click.argument("row_id", type=click.IntRange(1, BIGGEST))
@AS_JSON
def show_row(row_id: int, as_json: bool) -> None:
    """Show one callback with the XML that WeCom sent.

    \b
    Example: scrm inbox show 42
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table
    from wecom_callbacks.queries import inbox_row, shown_body, shown_reason

    with application("inbox", settings=attached_settings()).app_context():
        row = inbox_row(row_id)
        shown = {**_brief(row), "app": row.app, "event_at": row.event_at, "replayed_at": row.replayed_at,
                 "finished_at": row.finished_at, "next_at": row.next_at, "reason_text": shown_reason(row),
                 "body": shown_body(row)}  # fmt: skip
    if as_json:
        print_json(shown)
    else:
        print_table(f"callback {row_id}", ("field", "value"), shown.items())


@inbox_group.command("stats")
@click.option("--hours", type=click.FloatRange(0, 9600, min_open=True), default=24.0, show_default=True)
@AS_JSON
def show_stats(hours: float, as_json: bool) -> None:
    """Count callbacks by event, with their lag in seconds and why some were ignored.

    \b
    Example: scrm inbox stats --hours 1
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table
    from scrm.kernel.clock import utcnow
    from wecom_callbacks.queries import inbox_stats

    since = utcnow() - timedelta(hours=hours)
    with application("inbox", settings=attached_settings()).app_context():
        items = inbox_stats(since)
    if as_json:
        print_json({"since": since, "items": items})
    else:
        print_table(f"callbacks of the last {hours:g} hours", STATISTICS, [_figures(item) for item in items])


@inbox_group.command("replay")
@click.argument("row_ids", type=click.IntRange(1, BIGGEST), nargs=-1)
@click.option("--state", type=STATES, help="All in this state: done, ignored, failed or dead.")
@click.option("--event", help="All of this event.")
@click.option("--change-type", help="All of this ChangeType.")
@click.option("--since", type=click.DateTime(), help="Received at or after, in the corp's zone.")
@click.option("--until", type=click.DateTime(), help="Received before, in the corp's zone.")
@AS_JSON
def replay_rows(row_ids: tuple[int, ...], as_json: bool, **chosen: Any) -> None:
    """Have callbacks handled again, by id or by everything else; what is waiting is left alone.

    Side effects whose moment has passed (a welcome after 20 seconds) are skipped.

    \b
    Example: scrm inbox replay --state dead --event change_external_contact
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json
    from wecom_callbacks.jobs import replay_and_wake
    from wecom_callbacks.models import InboxState
    from wecom_callbacks.service import Selection

    settings = attached_settings()
    chosen["state"] = InboxState(chosen["state"]) if chosen["state"] else None
    for name in ("since", "until"):
        chosen[name] = _utc(chosen[name], settings.corp.zone)
    with application("inbox", settings=settings).app_context():
        done = replay_and_wake(Selection(ids=list(row_ids) or None, **chosen))
    if as_json:
        print_json({"replayed": done.ids, "more": done.more})
    else:
        click.echo(
            f"{len(done.ids)} callbacks will be handled again"
            + ("; run it once more for the rest" * done.more)
        )


def _utc(wall: datetime | None, zone: Any) -> datetime | None:
    from scrm.kernel.clock import from_zone

    return from_zone(wall, zone) if wall else None


def _brief(row: InboxRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in COLUMNS}


def _figures(item: dict[str, Any]) -> list[Any]:
    """One line of the statistics."""
    reasons = "".join(f" {reason} {count}" for reason, count in sorted(item["reasons"].items()))
    others = [f"{item[state]} {state}" for state in OTHER_STATES if item[state]]
    return [
        ".".join(filter(None, (item["event"] or "-", item["change_type"]))),
        item["callbacks"],
        ", ".join(others) + (f":{reasons}" if reasons else ""),
        _pair(item["lag_p50"], item["lag_p99"]),
        _pair(item["delay_p50"], item["delay_p99"]),
    ]


def _pair(half: float | None, most: float | None) -> str:
    return "-" if half is None or most is None else f"{half:.3f}/{most:.3f}"

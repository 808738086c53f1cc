"""`scrm limits`: what WeCom's limits leave of each API, what runs, and what is closed until when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from scrm.wecom.limits import Left

COLUMNS = ("api", "counted", "left", "of", "window", "section", "running", "state")
WINDOWS = {60: "minute", 3600: "hour", 86_400: "day", 31 * 86_400: "month"}


@click.command("limits")
@click.option(
    "--api", "apis", multiple=True, help="Only this API, such as externalcontact/get (may be repeated)."
)
@click.option("--app", help="Only this app, where WeCom counts per app.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def limits(apis: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What WeCom's limits leave: calls by API and window, calls under way, blocks, and APIs that do not answer.

    Of a minute and an hour, what may be called at once is shown; it fills up evenly.

    \b
    Example: scrm limits --api externalcontact/get --json
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    with application("limits", settings=attached_settings()).app_context():
        from scrm.wecom.queries import limits_left
        from scrm.wecom.schemas import LimitSchema

        found = limits_left(app, apis)
        shown = LimitSchema(many=True).dump(found)
    if as_json:
        print_json(shown)
    else:
        print_table(f"{len(found)} APIs", COLUMNS, [row for left in found for row in _rows(left)])


def _rows(left: Left) -> Iterator[list[Any]]:
    running = f"{left.running} of {left.calls}"
    if not left.windows:
        yield [left.api, left.app or "corp", "", "", "", "", running, _state(left)]
    for number, window in enumerate(left.windows):
        counted = " ".join(filter(None, [left.app or window.per, window.only]))
        first = number == 0
        yield [
            left.api if first else "", counted, window.left, window.figure, WINDOWS.get(window.seconds, window.seconds),
            window.source, running if first else "", _state(left) if first else "",
        ]  # fmt: skip


def _state(left: Left) -> str:
    door = left.door
    if door.cool_seconds:
        return f"closed by WeCom for {door.cool_seconds:.0f} s"
    if door.circuit == "open":
        return f"no answer; tried again in {door.shut_seconds(door.pause_seconds):.0f} s"
    return "no answer; being tried" if door.circuit == "half-open" else "open"

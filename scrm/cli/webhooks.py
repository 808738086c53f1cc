"""`scrm webhooks list|deliveries|show|redeliver|reference`: events that go out, what became of them, sending them again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from scrm.kernel.storable import BIGGEST

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

IDS = click.IntRange(1, BIGGEST)
STATES = click.Choice(["pending", "delivered", "failed"])
LISTED = ("id", "state", "reason", "event_types", "payload", "failures", "failing_since", "resume_at", "url")
COLUMNS = (
    "id",
    "endpoint_id",
    "event_id",
    "type",
    "state",
    "attempts",
    "status",
    "error",
    "next_at",
    "tried_at",
)
ATTEMPT = ("at", "status", "error", "milliseconds")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group()
def webhooks_group() -> None:
    """Events that go out to other systems (docs/webhooks.md).

    \b
    Example: scrm webhooks deliveries --state failed
    """


@webhooks_group.command("list")
@AS_JSON
def list_endpoints(as_json: bool) -> None:
    """List endpoints and their health.

    \b
    Example: scrm webhooks list --json
    """
    from scrm.cli.console import print_json, print_table

    with _application():
        from scrm.webhooks.queries import endpoint_page
        from scrm.webhooks.schemas import EndpointOut

        rows = EndpointOut(many=True).dump(endpoint_page({"limit": 200})["items"])
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} endpoints", LISTED, [[row[name] for name in LISTED] for row in rows])


@webhooks_group.command("deliveries")
@click.option("--endpoint", "endpoint_id", type=IDS, help="Only to this endpoint.")
@click.option("--state", type=STATES, help="Only in this state.")
@click.option("--type", "type", help="Only events of this type, such as tag.given.")
@click.option("--since", type=click.DateTime(), help="Events noted at or after, in the corp's zone.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@AS_JSON
def list_deliveries(as_json: bool, **chosen: Any) -> None:
    """List deliveries, newest first.

    \b
    Example: scrm webhooks deliveries --endpoint 3 --state failed --json
    """
    from scrm.cli.console import print_json, print_table

    with _application() as zone:
        from scrm.webhooks.queries import delivery_page
        from scrm.webhooks.schemas import DeliveryOut

        rows = DeliveryOut(many=True).dump(
            delivery_page({**chosen, "since": _moment(chosen["since"], zone)})["items"]
        )
    if as_json:
        print_json(rows)
    else:
        print_table(f"{len(rows)} deliveries", COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


@webhooks_group.command("show")
@click.argument("delivery_id", type=IDS)
@AS_JSON
def show_delivery(delivery_id: int, as_json: bool) -> None:
    """Show a delivery: what it carries (ids only), and what came of each attempt.

    \b
    Example: scrm webhooks show 4711
    """
    from scrm.cli.console import print_json, print_table

    with _application():
        from scrm.webhooks.queries import delivery_detail
        from scrm.webhooks.schemas import DeliveryDetail

        found = DeliveryDetail().dump(delivery_detail(delivery_id))
    if as_json:
        print_json(found)
        return
    told = {name: value for name, value in found.items() if name != "tries"}
    print_table(f"delivery {delivery_id}", ("field", "value"), [[*pair] for pair in told.items()])
    tries = [[each.get(name) for name in ATTEMPT] for each in found["tries"]]
    print_table(f"{len(tries)} attempts", ATTEMPT, tries)


@webhooks_group.command("redeliver")
@click.argument("ids", type=IDS, nargs=-1)
@click.option("--endpoint", "endpoint_id", type=IDS, help="All that failed to this endpoint since a time.")
@click.option("--since", type=click.DateTime(), help="Events noted at or after, in the corp's zone.")
@click.option("--delivered", is_flag=True, help="Also what had arrived, for a receiver that lost it.")
@AS_JSON
def redeliver(
    ids: tuple[int, ...], endpoint_id: int | None, since: datetime | None, delivered: bool, as_json: bool
) -> None:
    """Send deliveries again: these, or all of an endpoint that failed since a time.

    \b
    Example: scrm webhooks redeliver --endpoint 3 --since 2026-12-01
    """
    from scrm.cli.console import print_json

    if bool(ids) == bool(endpoint_id) or (endpoint_id and not since):
        raise click.UsageError("give ids of deliveries, or --endpoint together with --since")
    with _application() as zone:
        begin = _moment(since, zone)
        count = _redeliver_since(endpoint_id, begin, delivered) if endpoint_id and begin else _redeliver(ids)
    if as_json:
        print_json({"redelivered": count})
    else:
        click.echo(f"{count} deliveries will be sent again")


@webhooks_group.command("reference")
@AS_JSON
def reference(as_json: bool) -> None:
    """Print the tables of docs/webhooks.md: events, person data, retries.

    \b
    Example: scrm webhooks reference
    """
    from scrm.cli.console import print_json
    from scrm.webhooks.service.reference import tables

    if as_json:
        print_json(tables())
    else:
        click.echo("\n\n".join(tables().values()))


def _redeliver(ids: tuple[int, ...]) -> int:
    from scrm.kernel.db import transaction
    from scrm.webhooks.service import redelivery

    with transaction():
        for delivery_id in ids:
            redelivery.redeliver(delivery_id)
    return len(ids)


def _redeliver_since(endpoint_id: int, since: datetime, delivered: bool) -> int:
    from scrm.kernel.clock import utcnow
    from scrm.kernel.db import transaction
    from scrm.webhooks.service.redelivery import Span, redeliver_since

    states = ["failed", "delivered"] if delivered else ["failed"]
    span, total = Span(since, utcnow()), 0
    after: int | None = 0
    while after is not None:
        with transaction():
            taken = redeliver_since(endpoint_id, span, states, after)
        total, after = total + taken.redelivered, taken.next_after
    return total


@contextmanager
def _application() -> Iterator[ZoneInfo]:
    """The app's context; yields the corp's zone."""
    from scrm.cli.application import application, attached_settings

    settings = attached_settings()
    with application("webhooks", settings=settings).app_context():
        yield settings.corp.zone


def _moment(wall: datetime | None, zone: ZoneInfo) -> datetime | None:
    from scrm.kernel.clock import from_zone

    return from_zone(wall, zone) if wall else None

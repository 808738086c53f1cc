"""`scrm effects list|show|stats|retry|resolve`: what was asked for at WeCom, what became of it, what a person decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click

from scrm.kernel.storable import BIGGEST

STATES = click.Choice(["planned", "sent", "confirmed", "failed", "unknown", "expired", "cancelled"])
PARKED = click.Choice(["exhausted", "defect", "untold", "person"])
OUTCOMES = click.Choice(["confirmed", "failed", "again"])
IDS = click.IntRange(1, BIGGEST)
COLUMNS = ("id", "kind", "state", "parked", "errcode", "subject", "app", "attempts", "created_at", "error")
COUNTED = ("kind", "state", "errcode", "parked", "effects")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
F = TypeVar("F", bound=Callable[..., Any])


def _filters(command: F) -> F:
    for option in reversed(
        (
            click.option("--state", type=STATES, help="Only in this state."),
            click.option("--kind", help="Only of this kind, such as welcome or mark_tag."),
            click.option("--errcode", type=int, help="Only with this errcode."),
            click.option("--app", help="Only of this app."),
            click.option("--subject", help="Only about this row, such as follow:12."),
            click.option("--parked", type=PARKED, help="Only parked for this reason."),
            click.option(
                "--needs-person", is_flag=True, default=None, help="Only parked, whatever the reason."
            ),
            click.option("--since", type=click.DateTime(), help="Planned at or after, in the corp's zone."),
            click.option("--until", type=click.DateTime(), help="Planned before, in the corp's zone."),
        )
    ):
        command = option(command)
    return command


@click.group()
def effects_group() -> None:
    """Changes asked for at WeCom.

    \b
    Example: scrm effects list --needs-person
    """


@effects_group.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@AS_JSON
def list_effects(limit: int, as_json: bool, **chosen: Any) -> None:
    """List effects, newest first.

    \b
    Example: scrm effects list --state failed --errcode 60020 --json
    """
    from scrm.cli.console import print_json, print_table

    with _application() as zone:
        from scrm.wecom.queries import effect_page
        from scrm.wecom.schemas import EffectSchema

        rows = effect_page({**_wanted(chosen, zone), "limit": limit})["items"]
        shown = EffectSchema(many=True).dump(rows)
    if as_json:
        print_json(shown)
    else:
        print_table(f"{len(shown)} effects", COLUMNS, [[row[name] for name in COLUMNS] for row in shown])


@effects_group.command("stats")
@_filters
@AS_JSON
def count_effects(as_json: bool, **chosen: Any) -> None:
    """Count effects by kind, state, errcode and why they are parked.

    \b
    Example: scrm effects stats --state failed
    """
    from scrm.cli.console import print_json, print_table

    with _application() as zone:
        from scrm.wecom.queries import effect_counts

        counts = [
            {name: getattr(row, name) for name in COUNTED} for row in effect_counts(_wanted(chosen, zone))
        ]
    if as_json:
        print_json(counts)
    else:
        print_table(
            f"{sum(row['effects'] for row in counts)} effects",
            COUNTED,
            [list(row.values()) for row in counts],
        )


@effects_group.command("show")
@click.argument("effect_id", type=IDS)
@AS_JSON
def show_effect(effect_id: int, as_json: bool) -> None:
    """Show one effect: what is sent, what WeCom made of it, and what a person is asked.

    \b
    Example: scrm effects show 42
    """
    from scrm.cli.console import print_json, print_table

    with _application():
        from scrm.wecom.queries import effect_by_id
        from scrm.wecom.schemas import EffectDetailSchema

        shown = EffectDetailSchema().dump(effect_by_id(effect_id))
    if as_json:
        print_json(shown)
        return
    question, choices = shown.pop("question"), shown.pop("choices")
    print_table(f"effect {effect_id}", ("field", "value"), list(shown.items()))
    if question:
        click.echo(f"{question['zh']}\n{question['en']}")
    for choice in choices:
        outcome = f" --outcome {choice['outcome']}" if "outcome" in choice else ""
        click.echo(
            f"  scrm effects {choice['action']} {effect_id}{outcome}    # {choice['zh']} {choice['en']}"
        )


@effects_group.command("retry")
@click.argument("ids", type=IDS, nargs=-1)
@click.option("--kind", help="All of this kind.")
@click.option("--errcode", type=int, help="All with this errcode.")
@click.option("--app", help="All of this app.")
@click.option("--parked", type=PARKED, help="All parked for this reason.")
@click.option("--since", type=click.DateTime(), help="Settled at or after, in the corp's zone.")
@click.option("--until", type=click.DateTime(), help="Settled before, in the corp's zone.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@AS_JSON
def retry_effects(ids: tuple[int, ...], dry_run: bool, as_json: bool, **chosen: Any) -> None:
    """Send failed effects again, by id or by everything else; those whose end could not be told are told again.

    Left alone: what is too late, and what a newer effect of the same subject has replaced (by id it is taken).

    \b
    Example: scrm effects retry --errcode 60020 --since 2026-12-01 --dry-run
    """
    from scrm.cli.console import print_json

    with _application() as zone:
        from scrm.kernel.db import transaction
        from scrm.wecom.models import Parked
        from scrm.wecom.retrying import Selection, look, retry_all

        wanted = _wanted(chosen, zone)
        wanted["parked"] = Parked(chosen["parked"]) if chosen["parked"] else None
        selection = Selection(ids=list(ids) or None, **wanted)
        with transaction():
            done = look(selection) if dry_run else retry_all(selection)
    if as_json:
        print_json(vars(done))
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in done.by_kind.items()) or "nothing"
    click.echo(
        f"{'would be' if dry_run else 'will be'} sent or told again: {kinds}"
        + f"; {done.too_late} too late" * bool(done.too_late)
        + f"; {done.superseded} replaced by newer ones" * bool(done.superseded)
        + "; run it once more for the rest" * done.more
    )


@effects_group.command("resolve")
@click.argument("ids", type=IDS, nargs=-1, required=True)
@click.option("--outcome", type=OUTCOMES, required=True, help="What a person saw in WeCom.")
@AS_JSON
def resolve_effects(ids: tuple[int, ...], outcome: str, as_json: bool) -> None:
    """Say what became of unknown effects, or have them sent again; all of them or, if one cannot be, none.

    \b
    Example: scrm effects resolve 42 --outcome confirmed
    """
    from scrm.cli.console import print_json

    with _application():
        from scrm.kernel.db import transaction
        from scrm.wecom.effects import Resolution, resolve

        with transaction():
            states = {effect_id: str(resolve(effect_id, Resolution(outcome)).state) for effect_id in ids}
    if as_json:
        print_json(states)
    else:
        click.echo(f"{len(states)} effects are {next(iter(states.values()))} now")


@contextmanager
def _application() -> Iterator[Any]:
    """The application beside a running `scrm up`; gives the corp's zone."""
    from scrm.cli.application import application, attached_settings

    settings = attached_settings()
    with application("effects", settings=settings).app_context():
        yield settings.corp.zone


def _wanted(chosen: dict[str, Any], zone: Any) -> dict[str, Any]:
    from scrm.kernel.clock import from_zone

    return {
        name: from_zone(value, zone) if isinstance(value, datetime) else value
        for name, value in chosen.items()
    }

"""`scrm generate`: a company's worth of data, the same for the same seed."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

TIMELINE_UP_TO = 1_000_000  # events; more make the load longer by half


@click.command()
@click.option(
    "--customers", type=click.IntRange(1), default=10_000, show_default=True, help="Customers of WeCom."
)
@click.option(
    "--events", type=click.IntRange(0), default=200_000, show_default=True, help="Behaviour events."
)
@click.option("--orders", type=click.IntRange(0), default=30_000, show_default=True, help="Orders.")
@click.option(
    "--tags", type=click.IntRange(0, 50), default=20, show_default=True, help="Tags of each customer."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, another company.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the data.  [default: yesterday]"
)
@click.option(
    "--timeline/--no-timeline",
    default=None,
    help=f"Timelines of customers too.  [default: up to {TIMELINE_UP_TO:,} events]",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def generate(seed: int, until: datetime | None, timeline: bool | None, quiet: bool, **amounts: int) -> None:
    """Fill an empty database with customers, follows, tags, people, events, products and orders.

    For trying things out and for measuring. Some customers do much and most do little, few products sell well, weekends
    and sales days stand out. Nothing is written unless everything is; a database that has customers is refused. Where no
    stores are configured and no `scrm up` runs, those under var/ (SCRM_VAR_DIR) are started for it and brought up to date.

    \b
    Example: SCRM_VAR_DIR=/tmp/company scrm generate --customers 50000
    """
    from scrm.cli.application import attached_settings
    from scrm.cli.company_data.loading import load
    from scrm.cli.company_data.own_stores import application_on_stores
    from scrm.cli.company_data.size import Size
    from scrm.kernel.clock import utcnow

    last = (until or utcnow() - timedelta(days=1)).date()
    shown = amounts["events"] <= TIMELINE_UP_TO if timeline is None else timeline
    size = Size(**amounts, seed=seed, until=last, timeline=shown)
    with application_on_stores("generate", attached_settings()) as app, app.app_context():
        load(size, show=not quiet)

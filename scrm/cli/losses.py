"""`scrm losses`: customers lost of late, by member, and the alarms nobody has looked into."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

COLUMNS = ("userid", "losses", "by_customer", "by_staff", "returned", "within_24_hours", "within_7_days")
DAYS_MOST = 3650


@click.command()
@click.option("--days", type=click.IntRange(1, DAYS_MOST), default=7, show_default=True, help="How far back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def losses(days: int, as_json: bool) -> None:
    """Customers who left members or were deleted by them.

    \b
    Example: scrm losses --days 30
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table

    with application("losses", settings=attached_settings()).app_context():
        found = _figures(days)
    if as_json:
        print_json(found)
        return
    total, by_staff = found["total"], found["by_staff"]
    title = f"{total['losses']} losses in {days} days: {total['by_customer']} left, {total['by_staff']} were deleted"
    print_table(title, COLUMNS, [[row[name] for name in COLUMNS] for row in by_staff])
    for alarm in found["open_alarms"]:
        click.echo(
            f"alarm {alarm['id']}: {alarm['userid']} deleted {alarm['deletions']} customers from {alarm['first_at']}"
        )


def _figures(days: int) -> dict[str, Any]:
    from scrm.kernel.clock import utcnow
    from scrm.kernel.paging import paginate
    from scrm.kernel.permissions import Scope
    from scrm.losses.models import LossAlarm
    from scrm.losses.queries.losses import alarm_list
    from scrm.losses.queries.summary import loss_summary

    everybody = Scope.all()
    summary = loss_summary(everybody, {"since": utcnow() - timedelta(days=days), "group_by": "staff"})
    alarms = paginate(alarm_list(everybody, {"acknowledged": False}), LossAlarm.id, {"limit": 200})
    return {
        "days": days,
        "total": summary["total"],
        "by_staff": summary["groups"],
        "open_alarms": alarms["items"],
    }

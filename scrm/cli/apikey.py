"""`scrm apikey`: bearer tokens for the API."""

from __future__ import annotations

import click

from scrm.kernel.storable import BIGGEST


@click.group()
def apikey() -> None:
    """Create, list and revoke API keys.

    \b
    Example: scrm apikey create reporting --scope customers:read --scope groups:read
    """


@apikey.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="Permission such as customers:read; * for all. Repeatable.",
)
@click.option(
    "--staff",
    "staff_ids",
    multiple=True,
    type=click.IntRange(1, BIGGEST),
    help="Only customers of this staff id. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def create(name: str, scopes: tuple[str, ...], staff_ids: tuple[int, ...], as_json: bool) -> None:
    """Make a key called NAME and print its token, which cannot be shown again.

    \b
    Example: scrm apikey create crm-import --scope '*'
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json
    from scrm.kernel.apikeys import create_key
    from scrm.kernel.db import transaction

    with application("apikey", settings=attached_settings()).app_context(), transaction():
        _check_staff(staff_ids)
        row, token = create_key(name, scopes, list(staff_ids) or None)
        made = {"name": row.name, "prefix": row.prefix, "permissions": row.permissions, "token": token}
    if as_json:
        print_json(made)
    else:
        click.echo(token)
        click.echo("Keep it: it is not stored and cannot be shown again.", err=True)


def _check_staff(ids: tuple[int, ...]) -> None:
    """A key for nobody's customers would be made in silence; raises InvalidInput."""
    from scrm.kernel.errors import InvalidInput
    from scrm.staff.queries import missing_staff

    if missing := missing_staff(ids):
        named = ", ".join(map(str, missing))
        raise InvalidInput.field(
            "staff", f"there is no member of staff {named}; GET /api/v1/staff lists their ids"
        )


@apikey.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_(as_json: bool) -> None:
    """List all keys, newest first, revoked ones too.

    \b
    Example: scrm apikey list --json
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json, print_table
    from scrm.kernel.apikeys import list_keys

    columns = ("prefix", "name", "permissions", "staff_ids", "created_at", "last_used_at", "revoked_at")
    with application("apikey", settings=attached_settings()).app_context():
        rows = [{column: getattr(key, column) for column in columns} for key in list_keys()]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["permissions"] = _short(row["permissions"])
        row["staff_ids"] = "everybody's" if row["staff_ids"] is None else row["staff_ids"]
    print_table("API keys", columns, ([row[column] for column in columns] for row in rows))


def _short(permissions: list[str]) -> str:
    """The permissions as they were asked for: a column of thirty names is read by nobody."""
    from scrm.kernel.permissions import Permission

    return "*" if set(permissions) >= set(Permission) else " ".join(permissions)


@apikey.command()
@click.argument("prefix")
def revoke(prefix: str) -> None:
    """End the key with PREFIX (the first part of its token) at once.

    \b
    Example: scrm apikey revoke 3f9a1c22b07d
    """
    from scrm.cli.application import application, attached_settings
    from scrm.kernel.apikeys import revoke_key
    from scrm.kernel.db import transaction

    with application("apikey", settings=attached_settings()).app_context(), transaction():
        revoke_key(prefix.removeprefix("scrm_").partition("_")[0])
    click.echo(f"{prefix} is revoked")

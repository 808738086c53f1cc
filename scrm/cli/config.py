"""`scrm config`: what is in force, secrets masked."""

from __future__ import annotations

from typing import Any

import click

MASK = "********"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, nested as in the file.")
@click.option("--reveal", is_flag=True, help="Show secrets.")
def config(as_json: bool, reveal: bool) -> None:
    """Print every setting in force: defaults, the file named by SCRM_CONFIG, and the environment, in that order.

    Beside a running `scrm up` it prints what its processes use. docs/configuration.md explains every key.

    \b
    Example: scrm config --json
    """
    from scrm.cli.application import attached_settings
    from scrm.cli.console import print_json, print_table

    values = plain(attached_settings().model_dump(), reveal=reveal)
    if as_json:
        print_json(values)
    else:
        print_table("settings in force", ("key", "value"), flat(values))


def plain(value: Any, *, reveal: bool) -> Any:
    """Settings as JSON values; secrets masked unless ``reveal`` (an empty secret shows that it is empty).

    An address of a store is a secret because it may contain a password; only the password is masked.
    """
    from pydantic import SecretStr

    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return text if reveal or not text else masked(text)
    if isinstance(value, dict):
        return {key: plain(item, reveal=reveal) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, reveal=reveal) for item in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def masked(text: str) -> str:
    """A secret as dots; of an address only the part that can hold a password."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return MASK
    account, at, place = rest.rpartition("@")
    return f"{scheme}://{MASK + '@' if at and ':' in account else account + at}{place}"


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (dotted key, text) rows."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, str(value)))
    return rows

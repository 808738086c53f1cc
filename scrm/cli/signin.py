"""`scrm signin`: a fresh one-time link for the overview page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flask import Flask


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the link as JSON.")
def signin(as_json: bool) -> None:
    """Print a link that signs one browser in to the overview page, once, within 12 hours.

    \b
    Example: scrm signin
    """
    from scrm.cli.application import application, attached_settings
    from scrm.cli.console import print_json

    settings = attached_settings()
    base = settings.web.public_url or f"http://{settings.web.host}:{settings.web.port}"
    link = signin_link(application("signin", settings=settings), base)
    if as_json:
        print_json({"link": link})
    else:
        click.echo(link)


def signin_link(app: Flask, base_url: str) -> str:
    """A link that works once; ``base_url`` is the address of the web process."""
    from scrm.kernel.db import transaction
    from scrm.web.signin import new_signin_link

    with app.app_context(), transaction():
        return new_signin_link(base_url)

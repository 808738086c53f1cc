"""The application on the stores that are configured, or else on the embedded ones of the folder, before `scrm up`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from config.settings import Settings, current_settings
from scrm.cli.application import application
from scrm.cli.migrate import migrated
from scrm.cli.stores import missing_stores, running
from scrm.cli.supervision.folder import Folder
from scrm.cli.supervision.leftovers import end_leftovers

if TYPE_CHECKING:
    from flask import Flask


@contextmanager
def application_on_stores(process: str, settings: Settings) -> Iterator[Flask]:
    """The application; embedded stores run for the length of the block, with their schema brought up to date.

    :param process: name of this process in logs
    :param settings: where both addresses are given, nothing is started and no schema is touched
    :raises SettingsError: another process holds the folder
    """
    given = {
        "SCRM_DATABASE_URL": settings.database_url.get_secret_value(),
        "SCRM_REDIS_URL": settings.redis_url.get_secret_value(),
    }
    if all(given.values()):
        yield application(process, settings=settings)
        return
    folder = Folder(settings.var_dir)
    with folder.held():
        end_leftovers(folder, lambda text: click.echo(text, err=True))
        missing = missing_stores(folder.path, given)
        with running(*missing):
            os.environ.update(given)
            current_settings.cache_clear()
            app = application(process)
            migrated(app)
            yield app
    click.echo(
        f"the data lies in {folder.path}; `scrm up` with the same SCRM_VAR_DIR starts everything on it"
    )

"""How a command gets the application: settings, logs, reachable stores, or one sentence and exit code 2."""

from __future__ import annotations

import gc
import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings


def application(process: str, *, settings: Settings | None = None, serves: bool = False) -> Flask:
    """Settings checked, logs configured, the app made, both stores reached.

    :param process: name of this process in logs, such as ``worker:urgent``
    :param serves: whether this process answers HTTP; workers, the clock and commands do not
    :raises SettingsError: when something is misconfigured or a store does not answer
    """
    from config.settings import current_settings

    settings = settings or current_settings()  # first: what is wrong there is said without loading everything
    app = _loaded(settings, serves)
    # After create_app: Flask-Migrate and granian set up logging of their own when imported.
    importlib.import_module("config.logging").configure_logging(settings.log, process)
    reach_stores(app)
    return app


def _loaded(settings: Settings, serves: bool) -> Flask:
    """The app, made without garbage collection: nothing loaded here is garbage, and it saves an eighth of the time."""
    gc.disable()
    try:
        app: Flask = importlib.import_module("scrm.bootstrap").create_app(settings, serves=serves)
    finally:
        gc.freeze()  # server processes forked from here share these pages
        gc.enable()
    return app


def attached_settings() -> Settings:
    """The settings; where no store is configured and `scrm up` runs on the folder, those of its processes.

    So `scrm doctor` and the like work beside `scrm up` without being told anything.
    """
    from config.settings import current_settings
    from scrm.cli.supervision.folder import Folder

    settings = current_settings()
    if settings.database_url.get_secret_value() and settings.redis_url.get_secret_value():
        return settings
    for name, value in Folder(settings.var_dir).kept_environment().items():
        if not os.environ.get(name):
            os.environ[name] = value
    current_settings.cache_clear()
    return current_settings()


def reach_stores(app: Flask) -> None:
    """Ask both stores for a sign of life.

    :raises SettingsError: naming the key whose store does not answer
    """
    from redis.exceptions import RedisError
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    from config.settings import SettingsError
    from scrm.cli.exits import first_line
    from scrm.kernel.db import db
    from scrm.kernel.redis import redis

    with app.app_context():
        try:
            with db.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise SettingsError(f"database_url: PostgreSQL does not answer: {first_line(cause)}") from None
        try:
            redis().ping()
        except RedisError as error:
            raise SettingsError(f"redis_url: Redis/Valkey does not answer: {first_line(error)}") from None

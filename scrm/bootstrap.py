"""Puts the program together: settings, stores, every package's views, jobs and subscribers."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from flask import Flask
from flask_migrate import Migrate
from sqlalchemy.engine import make_url

from config.settings import Settings, SettingsError, current_settings
from scrm.kernel import redis as kernel_redis
from scrm.kernel import settings as kernel_settings
from scrm.kernel.db import db
from scrm.kernel.pooling import replace_ended

PACKAGES = (
    "scrm.kernel",
    "scrm.wecom",
    "scrm.media",
    "scrm.staff",
    "scrm.alerts",
    "scrm.customers",
    "scrm.groups",
    "scrm.conversations",
    "scrm.people",
    "scrm.behaviour",
    "scrm.commerce",
    "scrm.portraits",
    "scrm.portraits.traits",
    "scrm.value",
    "tags",
    "tags.catalog",
    "tags.rules",
    "tags.columns",
    "tags.sets",
    "scrm.acquisition",
    "scrm.acquisition_links",
    "scrm.group_entry",
    "scrm.losses",
    "scrm.transfers",
    "scrm.audiences",
    "scrm.broadcasts",
    "scrm.imports",
    "scrm.webhooks",
    "scrm.sync",
    "wecom_callbacks",
    "scrm.web",
)
ROLES = ("models", "jobs", "subscribers", "views")
ROLES_WITHOUT_HTTP = ROLES[:-1]
MIGRATIONS = Path(__file__).parent / "kernel" / "migrations"
SETTINGS = kernel_settings.EXTENSION


def create_app(settings: Settings | None = None, *, serves: bool = True) -> Flask:
    """The Flask application: the same for web, workers, clock and commands, but for what answers HTTP.

    :param serves: whether it answers requests; without, no views are loaded, a sixth of what starting costs
    :raises SettingsError: when a store's address is missing or malformed
    """
    settings = settings or current_settings()
    app = Flask("scrm", static_folder=None)
    app.extensions[SETTINGS] = settings
    _configure(app, settings)
    modules = load_packages(ROLES if serves else ROLES_WITHOUT_HTTP)
    db.init_app(app)
    with app.app_context():
        replace_ended(db.engine)
    Migrate(app, db, directory=str(MIGRATIONS))
    app.extensions[kernel_redis.EXTENSION] = kernel_redis.connect(settings.redis_url.get_secret_value())
    if serves:
        from scrm.kernel.http import init_http

        init_http(app, [module for module in modules if module.__name__.endswith("views")])
    return app


def load_packages(roles: Sequence[str] = ROLES) -> list[ModuleType]:
    """Import these roles of every package, so that tables, jobs, subscribers and views are known."""
    names = [f"{package}.{role}" for role in roles for package in PACKAGES]
    return [importlib.import_module(name) for name in names if importlib.util.find_spec(name)]


def _configure(app: Flask, settings: Settings) -> None:
    for key in ("database_url", "redis_url"):
        if not getattr(settings, key).get_secret_value():
            raise SettingsError(
                f"{key}: is empty; set SCRM_{key.upper()}, or start everything with `scrm up`"
            )
    url = make_url(settings.database_url.get_secret_value())
    if url.get_backend_name() != "postgresql":
        raise SettingsError(
            "database_url: must be a PostgreSQL address such as postgresql+psycopg://user@host/scrm"
        )
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url.set(drivername="postgresql+psycopg"),
        SQLALCHEMY_ENGINE_OPTIONS={
            "pool_pre_ping": False,  # a round trip per request; scrm.kernel.pooling sees the same for nothing
            "hide_parameters": True,  # errors reach the log, and parameters hold what customers wrote
            "pool_size": 5,
            "max_overflow": 40,
            "pool_recycle": 1800,
            "connect_args": {"connect_timeout": 3, "application_name": "scrm"},
        },
        SECRET_KEY=settings.web.secret_key.get_secret_value()
        or _kept_secret(settings.var_dir / "secret_key"),
        SESSION_COOKIE_NAME="scrm_session",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.web.public_url.startswith("https://"),
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
    )


def _kept_secret(file: Path) -> str:
    """The key that signs cookies: made once, kept for all processes of this folder, readable by us alone."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".secret_key.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
            new.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):  # another process was quicker: its key is everybody's
            os.link(draft, file)
        draft.unlink()
    return file.read_text()

"""Fixtures for all tests: real PostgreSQL and Valkey, one database per pytest worker, a clean slate per test."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from config.settings import Settings, load_settings
from scrm.bootstrap import create_app
from scrm.cli import application
from scrm.cli.main import run
from scrm.cli.stores import Postgres, Valkey, running
from scrm.kernel import jobs
from scrm.kernel.apikeys import create_key
from scrm.kernel.db import Base, db, transaction
from scrm.kernel.schema import upgrade_schema
from scrm.kernel.settings import EXTENSION
from scrm.sandbox.control import SandboxControl
from scrm.sandbox.ports import free_port
from scrm.sandbox.testing import RunningSandbox, running_sandbox
from tests.profiles import register_profiles

FOLDER = "SCRM_TEST_FOLDER"
TEMPLATE = "scrm_template"
TEST_APP = {
    "agent_id": 1000002,
    "secret": "test-secret-0123456789",
    "token": "QDG6eK",
    "aes_key": "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C",
}
CORP_ID = "wx5823bf96d3bd56c7"  # the corp of the official test vectors (wecom-api.md section 2.8)

register_profiles()
_stack = ExitStack()


def _postgres() -> Postgres:
    return Postgres(Path(os.environ[FOLDER]) / "pg", durable=False)


def _valkey() -> Valkey:
    return Valkey(Path(os.environ[FOLDER]) / "valkey", durable=False)


def pytest_configure(config: pytest.Config) -> None:
    """Start the stores once, in the first pytest process; xdist's workers find them through the environment."""
    for name in [n for n in os.environ if n.startswith("SCRM_") and n != FOLDER]:
        del os.environ[name]
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.option.loadscopereorder = False  # files in the order of pytest_collection_modifyitems
    folder = tempfile.mkdtemp(prefix="scrm-test-")
    os.environ[FOLDER] = folder
    _stack.callback(shutil.rmtree, folder, ignore_errors=True)
    _stack.enter_context(running(_postgres(), _valkey()))
    with psycopg.connect(_postgres().dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    app = create_app(make_settings(TEMPLATE, 0))
    with app.app_context():
        upgrade_schema()
        db.engine.dispose()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let xdist's workers begin with the files that start processes, so that no long one is left to a single worker.

    A file is what xdist gives a worker (``--dist loadfile``): its tests share a deployment.
    """
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("fault")}
        items.sort(key=lambda item: item.path not in long)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the stores, and let what a corp populated in this process froze be collected: DuckDB counts what is left."""
    gc.unfreeze()
    if not hasattr(config, "workerinput"):
        _stack.close()


def make_settings(database: str, redis_db: int, **overrides: object) -> Settings:
    """Settings of a test deployment on ``database``; keyword arguments override sections."""
    values: dict[str, object] = {
        "database_url": _postgres().url.replace("/scrm?", f"/{database}?"),
        "redis_url": f"{_valkey().url}?db={redis_db}",
        "corp": {"id": CORP_ID, "name": "示例公司", "timezone": "Asia/Shanghai", "language": "zh"},
        "apps": {"main": TEST_APP},
        "var_dir": Path(os.environ[FOLDER]) / "var",
    }
    return load_settings(**{**values, **overrides})


@pytest.fixture(scope="session")
def worker_number(worker_id: str) -> int:
    """0, 1, … per xdist worker."""
    return int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0


@pytest.fixture(scope="session")
def database(worker_number: int) -> str:
    """A migrated database of this pytest worker's own."""
    name = f"scrm_w{worker_number}"
    with psycopg.connect(_postgres().dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    return name


@pytest.fixture(scope="session")
def sandbox_port() -> int:
    """Where this worker's sandbox WeCom listens once a test asks for it."""
    return free_port()


@pytest.fixture(scope="session")
def settings(database: str, worker_number: int, sandbox_port: int) -> Settings:
    """Settings that point at this worker's own stores and sandbox."""
    wecom = {**load_settings().wecom.model_dump(), "base_url": f"http://127.0.0.1:{sandbox_port}"}
    return make_settings(database, worker_number + 1, wecom=wecom)


@pytest.fixture(scope="session")
def sandbox_process(sandbox_port: int) -> Iterator[RunningSandbox]:
    """The sandbox WeCom of this worker, with the corp and app of :func:`make_settings`."""
    app = {
        "name": "main",
        "agentid": TEST_APP["agent_id"],
        **{k: TEST_APP[k] for k in ("secret", "token", "aes_key")},
    }
    config = {"corp_id": CORP_ID, "apps": [app]}
    with running_sandbox(config, port=sandbox_port) as running:
        yield running


@pytest.fixture
def sandbox(sandbox_process: RunningSandbox, redis: Redis, app: Flask) -> Iterator[SandboxControl]:
    """Control of a sandbox WeCom that has just been reset (no people, no faults, an empty log)."""
    for kept in ("scrm_wecom", "scrm_lanes"):  # its access token died with the reset, its ids with the tables
        app.extensions.pop(kept, None)
    sandbox_process.control.clear_faults()
    sandbox_process.control.reset()
    yield sandbox_process.control
    sandbox_process.control.clear_faults()


@pytest.fixture(scope="session")
def app(settings: Settings) -> Iterator[Flask]:
    """The whole application."""
    app = create_app(settings)
    app.testing = True
    jobs.bind(app)
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    """This worker's Valkey, empty."""
    client = Redis.from_url(settings.redis_url.get_secret_value())
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def session(app: Flask, redis: Redis) -> Iterator[Session]:
    """An app context whose commits are undone after the test. Use ``committed`` when other connections must see rows."""
    forget_sets(app)
    with app.app_context():
        engine = db.engine
        connection = engine.connect()
        outer = connection.begin()
        db.engines[None] = connection
        db.session.session_factory.configure(join_transaction_mode="create_savepoint")
        try:
            yield db.session()
        finally:
            db.session.remove()
            outer.rollback()
            connection.close()
            db.engines[None] = engine
            db.session.session_factory.configure(join_transaction_mode="conditional_savepoint")


@pytest.fixture
def committed(app: Flask, redis: Redis) -> Iterator[Session]:
    """An app context with real commits, visible to threads and other processes; tables are emptied afterwards."""
    forget_sets(app)
    with app.app_context():
        try:
            yield db.session()
        finally:
            db.session.remove()
            empty_tables()


def forget_sets(app: Flask) -> None:
    """Sets of customers of the test before: its rows go without a trace (:func:`empty_tables`)."""
    app.extensions.pop("scrm_sets", None)


# Bytes of one table; with more, deleting row by row, or dead rows in the way, costs more than TRUNCATE.
BIG = 256 * 1024
LARGEST_TABLE = text(
    "SELECT max(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
USED_SEQUENCES = text(
    "SELECT setval(oid, 1, false) FROM pg_class WHERE CASE WHEN relkind = 'S' AND relnamespace = 'public'::regnamespace"
    " THEN pg_sequence_last_value(oid) END IS NOT NULL"
)


def empty_tables(connection: Connection | None = None) -> None:
    """Delete all rows of all tables and begin every sequence anew.

    As thorough as TRUNCATE of all tables, which takes a tenth of a second however little there is to delete: it waits
    for whoever still writes, and looks at every table.

    :param connection: in its transaction; in one of its own by default
    """
    if connection is None:
        with db.engine.begin() as own:
            empty_tables(own)
        return
    names = [f'"{table.name}"' for table in Base.metadata.sorted_tables]
    connection.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN SHARE MODE")
    filled = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names]  # noqa: S608  # our names
    found = connection.scalars(text(" UNION ALL ".join(filled))).all()
    empty = [f"DELETE FROM {name};" for name in found]  # noqa: S608  # our names
    if connection.scalar(LARGEST_TABLE) > BIG:
        empty = [f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE;"]
    if empty:  # without triggers: nothing need be checked, followed or noted
        roles = [f"SET LOCAL session_replication_role = {role};" for role in ("replica", "origin")]
        connection.exec_driver_sql(" ".join([roles[0], *empty, roles[1]]))
    connection.execute(USED_SEQUENCES)


@pytest.fixture
def api_with(app: Flask) -> Callable[..., FlaskClient]:
    """Make a test client whose key holds the given permissions (all when none are named); needs a database fixture."""

    def make(*permissions: str, staff_ids: list[int] | None = None) -> FlaskClient:
        with transaction():
            _, token = create_key("test", permissions or ["*"], staff_ids)
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client

    return make


@pytest.fixture
def api(session: Session, api_with: Callable[..., FlaskClient]) -> FlaskClient:
    """A test client with every permission, on the rolled-back session."""
    return api_with()


@pytest.fixture
def run_here(
    session: Session,
    app: Flask,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Run a group of commands with arguments in this process, on the test's own session: (exit code, stdout, stderr)."""

    class Here:
        def app_context(self) -> AbstractContextManager[None]:
            return nullcontext()

    monkeypatch.setattr(application, "application", lambda *_, **__: Here())
    monkeypatch.setattr(application, "attached_settings", lambda: settings)
    monkeypatch.setenv("COLUMNS", "300")  # whatever the terminal of the whole run is: no cell is folded

    def call(group: click.Group, *arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(group, [str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def configure(app: Flask, settings: Settings) -> Iterator[Callable[..., None]]:
    """Settings for one test: configure(alerts={"operators": ("boss",)}, corp={"timezone": "Asia/Tokyo"})."""

    def change(**sections: dict[str, Any]) -> None:
        changed = {
            name: getattr(settings, name).model_copy(update=values) for name, values in sections.items()
        }
        app.extensions[EXTENSION] = settings.model_copy(update=changed)

    yield change
    app.extensions[EXTENSION] = settings

"""Every command: quick help with an example, errors in one sentence, exit codes that mean something."""

from __future__ import annotations

import importlib
import json
import socket
import time
from pathlib import Path

import click
import pytest

from config.queues import Queue
from scrm.cli.config import masked
from scrm.cli.main import COMMANDS, program
from scrm.cli.supervision.folder import Folder
from scrm.cli.supervision.parts import Parts
from scrm.cli.worker import worker
from tests.scrm.cli.conftest import Run


def all_commands() -> list[tuple[str, click.Command]]:
    found = []
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", made) for sub, made in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), all_commands(), ids=lambda value: str(value)[:20])
def test_every_command_has_help_with_an_example_of_itself(name: str, command: click.Command) -> None:
    assert command.help
    assert f"scrm {name}" in command.help
    assert "Example" in command.help


def test_help_is_quick_and_lists_every_command(run: Run) -> None:
    started = time.perf_counter()
    shown = run("--help")
    assert time.perf_counter() - started < 1.0  # importing the application alone takes longer
    assert shown.returncode == 0
    assert all(f"  {name} " in shown.stdout for name in program.list_commands(click.Context(program)))


def test_up_starts_exactly_the_queues_that_exist_and_worker_accepts_no_other(tmp_path: Path) -> None:
    parts = Parts(Folder(tmp_path), "http://web", "http://sandbox", {})
    started = [child.name.removeprefix("worker:") for child in parts.workers()]
    accepted = worker.params[0].type
    assert isinstance(accepted, click.Choice)
    assert started == list(accepted.choices) == [queue.value for queue in Queue]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("worker", "lunch"), "'lunch' is not one of"),
        (("worker", "urgent", "events"), "unexpected extra argument"),
        (("worker",), "Missing argument 'QUEUE"),
        (("walk",), "No such command 'walk'"),
        (("web", "--port", "99999"), "99999 is not in the range"),
    ],
)
def test_wrong_use_ends_with_2(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["web", "worker urgent", "clock", "migrate", "doctor", "apikey list", "signin"]
)
def test_without_stores_a_command_says_which_key_is_empty_and_ends_with_2(run: Run, command: str) -> None:
    done = run(*command.split())
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("scrm: database_url: is empty; set SCRM_DATABASE_URL")


@pytest.mark.parametrize("command", ["up", "web", "worker events", "clock", "migrate", "config", "demo"])
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SCRM_WEB__PORT": "many"}, "scrm: web.port: "),
        ({"SCRM_CORP__ID": "ww1"}, "scrm: apps: corp.id is set and no app is"),
        (
            {"SCRM_CORP__ID": "ww1", "SCRM_APPS__MAIN__AGENT_ID": "1", "SCRM_APPS__MAIN__SECRET": "s",
             "SCRM_APPS__MAIN__TOKEN": "t", "SCRM_APPS__MAIN__AES_KEY": "short"},
            "scrm: apps.main.aes_key: must be exactly 43",
        ),
    ],
    ids=["type", "no app", "aes key"],
)  # fmt: skip
def test_a_wrong_configuration_ends_with_2_before_anything_starts(
    run: Run, tmp_path: Path, command: str, environment: dict[str, str], sentence: str
) -> None:
    if command == "demo" and "SCRM_WEB__PORT" not in environment:
        pytest.skip("the demo brings its own corp")
    done = run(*command.split(), **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("command", ["web", "worker events", "clock", "migrate"])
def test_an_unreachable_store_ends_with_2(run: Run, command: str) -> None:
    away = {
        "SCRM_DATABASE_URL": "postgresql+psycopg://u:hidden@127.0.0.1:1/x",
        "SCRM_REDIS_URL": "redis://127.0.0.1:1",
    }
    done = run(*command.split(), **away)
    assert done.returncode == 2
    assert "scrm: database_url: PostgreSQL does not answer" in done.stderr
    assert "hidden" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named_before_anything_starts(run: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for base, asked in ((port, port), (port - 1, port)):
            done = run("up", "--port-base", str(base))
            assert done.returncode == 2
            assert f"port {asked} on 127.0.0.1 is taken" in done.stderr
            assert "--port-base" in done.stderr
    assert not (tmp_path / "var" / "postgres").exists()


def test_a_folder_that_may_not_be_written_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("up", SCRM_VAR_DIR=str(tmp_path / "file" / "var"))
    assert done.returncode == 2
    assert "var_dir" in done.stderr
    assert "SCRM_VAR_DIR" in done.stderr


def test_config_masks_secrets_and_reveals_them_when_asked(run: Run) -> None:
    given = {
        "SCRM_CORP__ID": "ww1",
        "SCRM_APPS__MAIN__AGENT_ID": "7",
        "SCRM_APPS__MAIN__SECRET": "s3cr3t",
        "SCRM_APPS__MAIN__TOKEN": "Tok3n",
        "SCRM_APPS__MAIN__AES_KEY": "k" * 43,
        "SCRM_DATABASE_URL": "postgresql+psycopg://me:passw0rd@db/scrm",
        "SCRM_REDIS_URL": "redis://cache:6379/3",
        "SCRM_WEB__SECRET_KEY": "c00kie",
    }
    hidden = ("s3cr3t", "Tok3n", "k" * 43, "passw0rd", "c00kie")
    for arguments in (("config",), ("config", "--json")):
        shown = run(*arguments, **given)
        assert shown.returncode == 0
        assert not [secret for secret in hidden if secret in shown.stdout]
    values = json.loads(run("config", "--json", "--reveal", **given).stdout)
    assert values["apps"]["main"]["secret"] == "s3cr3t"
    assert values["web"]["port"] == 8700


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@db/x", "postgresql://********@db/x"),
        ("redis://:secret@cache:6379/0", "redis://********@cache:6379/0"),
        ("redis://cache/0", "redis://cache/0"),
        ("unix:///var/valkey.sock", "unix:///var/valkey.sock"),
        ("postgresql+psycopg://postgres@/scrm?host=/x", "postgresql+psycopg://postgres@/scrm?host=/x"),
        ("anything", "********"),
    ],
)
def test_of_an_address_only_the_password_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown

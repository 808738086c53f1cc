"""Every command: quick help with an example, errors in one sentence, exit codes that mean something."""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from config.queues import Queue
from config.settings import current_settings
from scrm.cli.apikey import _check_staff, _short
from scrm.cli.config import masked
from scrm.cli.exits import say_error
from scrm.cli.main import COMMANDS, program
from scrm.cli.main import run as run_command
from scrm.cli.supervision.folder import Folder
from scrm.cli.supervision.parts import Parts
from scrm.cli.worker import worker
from scrm.kernel.errors import InvalidInput, NotFound
from scrm.kernel.permissions import Permission
from scrm.sandbox.ports import free_port
from scrm.staff.service import ensure_staff
from tests.scrm.cli.conftest import Run

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Call]:
    """Run a command that must not get far, in this process: exit code, stdout, stderr."""

    def scrm(command: str, **environment: str) -> tuple[int, str, str]:
        for name, value in {"SCRM_VAR_DIR": str(tmp_path / "var"), **environment}.items():
            monkeypatch.setenv(name, value)
        current_settings.cache_clear()
        code = run_command(program, command.split())
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    yield scrm
    current_settings.cache_clear()


def all_commands() -> list[tuple[str, click.Command]]:
    found = []
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", made) for sub, made in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), all_commands(), ids=[name for name, _ in all_commands()])
def test_every_command_has_help_with_an_example_of_itself(name: str, command: click.Command) -> None:
    assert command.help
    assert "Example" in command.help
    assert f"scrm {name}" in command.help


PRINTS_NO_TABLE = {
    "web", "worker", "clock", "sandbox", "company", "inbox", "codes", "import", "effects", "transfers", "webhooks", "apikey", "partitions", "inbox replay", "apikey revoke",
    "migration", "generate", "sync confirm", "sync cancel",
}  # fmt: skip


@pytest.mark.parametrize(("name", "command"), all_commands(), ids=[name for name, _ in all_commands()])
def test_every_command_that_prints_a_table_prints_json_too(name: str, command: click.Command) -> None:
    assert ("--json" in {option for p in command.params for option in p.opts}) or name in PRINTS_NO_TABLE


def test_help_lists_every_command_and_loads_no_library_of_the_application() -> None:
    script = (
        "import sys; from scrm.cli.main import program, run; run(program, ['--help']);"
        "print('LOADED', {'flask', 'sqlalchemy', 'rq', 'pydantic', 'redis', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "LOADED set()" in done.stdout
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_up_starts_exactly_the_queues_that_exist_and_worker_accepts_no_other(tmp_path: Path) -> None:
    parts = Parts(Folder(tmp_path), "http://web", "http://sandbox", {})
    started = [child.name.removeprefix("worker:") for child in parts.workers()]
    accepted = worker.params[0].type
    assert isinstance(accepted, click.Choice)
    assert started == list(accepted.choices) == [queue.value for queue in Queue]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("worker lunch", "'lunch' is not one of"),
        ("worker urgent events", "unexpected extra argument"),
        ("worker", "Missing argument"),
        ("walk", "No such command 'walk'"),
        ("web --port 99999", "99999 is not in the range"),
        ("apikey create x", "Missing option '--scope'"),
    ],
)
def test_wrong_use_ends_with_2(call: Call, command: str, sentence: str) -> None:
    code, printed, told = call(command)
    assert (code, printed) == (2, "")
    assert sentence in told


def test_a_key_that_may_do_everything_is_listed_with_a_star() -> None:
    assert _short([*Permission]) == "*"
    assert _short(["customers:read", "groups:read"]) == "customers:read groups:read"


def test_a_value_that_the_application_refuses_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert say_error(InvalidInput.field("scope", "x is no permission")) == 2
    assert say_error(NotFound("there is no callback 1")) == 1
    assert capsys.readouterr().err == "scrm: scope: x is no permission\nscrm: there is no callback 1\n"


@pytest.mark.usefixtures("session")
def test_a_key_is_made_for_staff_that_exist_only() -> None:
    there = ensure_staff(["anna"])["anna"]
    _check_staff((there,))
    with pytest.raises(InvalidInput, match=f"there is no member of staff {there + 1};"):
        _check_staff((there, there + 1))


def test_the_process_ends_with_the_commands_exit_code(run_installed: Run) -> None:
    done = run_installed("worker", "lunch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["web", "worker urgent", "clock", "migrate", "doctor", "apikey list", "signin", "inbox list"]
)
def test_without_stores_a_command_says_which_key_is_empty_and_ends_with_2(call: Call, command: str) -> None:
    code, printed, told = call(command)
    assert (code, printed) == (2, "")
    assert told.startswith("scrm: database_url: is empty; set SCRM_DATABASE_URL")
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "web", "worker events", "clock", "migrate", "config", "doctor"])
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
    call: Call, tmp_path: Path, command: str, environment: dict[str, str], sentence: str
) -> None:
    code, printed, told = call(command, **environment)
    assert (code, printed) == (2, "")
    assert told.startswith(sentence)
    assert told.count("\n") == 1
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("address", ["https://qyapi.weixin.qq.com.invalid", "http://127.0.0.1:9"])
def test_simulated_people_refuse_to_act_anywhere_but_in_a_sandbox(call: Call, address: str) -> None:
    code, _, told = call("company", SCRM_WECOM__BASE_URL=address)
    assert code == 2
    assert told.startswith("scrm: wecom.base_url: is no sandbox WeCom")


def test_an_unreachable_store_ends_with_2(run: Run) -> None:
    away = {
        "SCRM_DATABASE_URL": "postgresql+psycopg://u:hidden@127.0.0.1:1/x",
        "SCRM_REDIS_URL": "redis://127.0.0.1:1",
    }
    done = run("worker", "events", **away)
    assert done.returncode == 2
    assert "scrm: database_url: PostgreSQL does not answer" in done.stderr
    assert "hidden" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named_before_anything_starts(call: Call, tmp_path: Path) -> None:
    port = free_port(together=2) + 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        for base in (port, port - 1):  # the web's port, and the sandbox's
            code, _, told = call(f"up --port-base {base}")
            assert code == 2
            assert f"port {port} on 127.0.0.1 is taken" in told
            assert "--port-base" in told
    assert not (tmp_path / "var" / "postgres").exists()


def test_a_folder_that_may_not_be_written_is_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, told = call("up", SCRM_VAR_DIR=str(tmp_path / "file" / "var"))
    assert code == 2
    assert "var_dir" in told
    assert "SCRM_VAR_DIR" in told


def test_config_masks_secrets_and_reveals_them_when_asked(call: Call) -> None:
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
    for command in ("config", "config --json"):
        code, printed, _ = call(command, **given)
        assert code == 0
        assert not [secret for secret in hidden if secret in printed]
    values = json.loads(call("config --json --reveal", **given)[1])
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

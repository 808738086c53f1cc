"""`scrm up` as people use it: starts, serves, mends, stops, and cleans up after its own violent death."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest
import requests

from scrm.cli.supervision.folder import MARKER
from scrm.sandbox.control import SandboxControl
from scrm.sandbox.ports import free_port
from tests.scrm.cli.conftest import Run, clean_environment
from tests.stack import SCRM, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]
START_SECONDS = 90.0


class Up:
    """One `scrm up` on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port(together=2)
        self.output = folder.parent / "up.out"
        self.process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        return {"SCRM_VAR_DIR": str(self.folder), "COLUMNS": "200"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.output.open("wb") as out:
            self.process = self.started("--quiet-company", out=out)
        wait_until(lambda: "/signin#" in self.shown() or self.ended(), START_SECONDS, self.shown)
        assert not self.ended(), self.shown()

    def started(self, *options: str, out: BinaryIO) -> subprocess.Popen[bytes]:
        """The process alone; Ctrl-C reaches it even where the tests run in the background of a shell."""
        return subprocess.Popen(
            [SCRM, "up", *options, "--port-base", str(self.port)],
            env={**clean_environment(), **self.environment},
            stdout=out,
            stderr=out,
            cwd="/",
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # before any thread
        )

    def is_running(self) -> bool:
        return hasattr(self, "process") and not self.ended()

    def shown(self) -> str:
        return self.output.read_text(errors="replace")

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait_shown(self, pattern: str, seconds: float = 30.0) -> None:
        wait_until(lambda: re.search(pattern, self.shown()) is not None, seconds, self.shown)

    def family(self) -> list[psutil.Process]:
        """Everything that belongs to it: by the mark in the environment, and the stores by their folder."""
        return [
            process
            for process in psutil.process_iter(["environ", "cmdline"])
            if (process.info["environ"] or {}).get(MARKER) == str(self.folder)
            or str(self.folder) in " ".join(process.info["cmdline"] or [])
        ]

    def child(self, *words: str) -> psutil.Process:
        """The running command `scrm <words>`."""
        return next(p for p in self.family() if p.info["cmdline"][-len(words) :] == list(words))

    def end(self) -> None:
        if self.is_running():
            self.process.terminate()
            self.process.wait(60)
        for process in self.family():
            process.kill()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    made = Up(tmp_path_factory.mktemp("up") / "var")
    yield made
    made.end()


@pytest.fixture
def up(deployment: Up) -> Up:
    """A running one; the tests share it, because starting takes seconds."""
    if not deployment.is_running():
        deployment.start()
    return deployment


def is_ready(up: Up) -> bool:
    try:
        return requests.get(f"{up.url}/readyz", timeout=30).ok
    except requests.ConnectionError:
        return False


def findings(run: Run, up: Up) -> list[str]:
    found = json.loads(run("doctor", "--json", **up.environment).stdout)
    return [f"{one['check']}: {one['detail']}" for one in found["findings"] if not one["well"]]


def test_it_serves_and_the_link_signs_in_once(up: Up) -> None:
    assert is_ready(up)
    link = re.search(r"http://\S+/signin#(\S+)", up.shown())
    assert link
    browser, address = requests.Session(), f"{up.url}/signin"
    assert browser.post(address, data={"token": link[1]}).ok
    assert browser.get(f"{up.url}/overview.json").ok
    assert requests.post(address, data={"token": link[1]}, timeout=30).status_code == 401


def test_commands_beside_it_find_it(up: Up, run: Run) -> None:
    assert findings(run, up) == []
    made = json.loads(
        run("apikey", "create", "t", "--scope", "staff:read", "--json", **up.environment).stdout
    )
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert requests.get(f"{up.url}/api/v1/staff", headers=bearer, timeout=30).ok
    assert run("apikey", "revoke", made["prefix"], **up.environment).returncode == 0
    assert requests.get(f"{up.url}/api/v1/staff", headers=bearer, timeout=30).status_code == 401


def test_a_second_one_on_the_same_folder_is_told_who_holds_it(up: Up, run: Run) -> None:
    second = run("up", "--port-base", str(free_port(together=2)), **up.environment)
    assert second.returncode == 2
    assert f"process {up.process.pid} (`scrm up`) holds the folder {up.folder}" in second.stderr


def test_the_simulated_company_lives(up: Up, run: Run) -> None:
    control = SandboxControl(f"http://127.0.0.1:{up.port + 1}")
    quick = subprocess.Popen(
        [SCRM, "company", "--seconds", "0.05"],
        env={**clean_environment(), **up.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    apis = [f"externalcontact/{name}" for name in ("send_welcome_msg", "mark_tag", "add_contact_way")]

    def lived() -> bool:
        done = control.log_counts()
        return all(done.get(api, {}).get("0") for api in (*apis, "kf/send_msg"))

    wait_until(lived, 90, lambda: str(control.log_counts()))
    quick.terminate()
    assert quick.wait(60) == 0
    wait_until(lambda: findings(run, up) == [], 60)


def test_what_dies_is_started_again(up: Up, run: Run) -> None:
    for words, name in ((("worker", "events"), "worker:events"), (("clock",), "clock"), (("web",), "web")):
        up.child(*words).kill()
        up.wait_shown(rf"{name} ended \(signal 9\); starting it again in 0\.5 s")
        up.wait_shown(rf"{name} was started again")
    postmaster = int((up.folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    up.wait_shown(r"PostgreSQL was started again")
    wait_until(lambda: is_ready(up), 60)
    wait_until(lambda: findings(run, up) == [], 90, lambda: str(findings(run, up)))


def test_sigterm_leaves_nothing_and_the_corp_is_there_again_afterwards(up: Up) -> None:
    control = SandboxControl(f"http://127.0.0.1:{up.port + 1}")
    customers = set(control.state_ids("customer"))
    assert customers
    up.process.terminate()
    assert up.process.wait(60) == 0
    assert up.family() == []
    assert "stopped" in up.shown()
    assert "was killed" not in up.shown()
    up.start()
    assert customers <= set(control.state_ids("customer"))


def test_after_its_violent_death_everything_ends_and_the_next_one_cleans_up(up: Up) -> None:
    frozen = up.child("worker", "urgent")
    frozen.send_signal(signal.SIGSTOP)
    up.process.kill()
    up.process.wait()
    wait_until(lambda: [p.pid for p in up.family()] == [frozen.pid], 60, lambda: str(up.family()))
    up.start()
    assert not frozen.is_running()
    assert "left 1 processes; ending them" in up.shown()
    assert is_ready(up)


def test_ctrl_c_while_starting_leaves_nothing(tmp_path: Path) -> None:
    up = Up(tmp_path / "var")
    try:
        with up.output.open("wb") as out:
            up.process = up.started(out=out)
        up.wait_shown("PostgreSQL")
        time.sleep(0.5)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(60) == 0, up.shown()
        assert up.family() == []
    finally:
        up.end()

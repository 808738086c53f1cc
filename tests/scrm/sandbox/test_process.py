from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import requests
from click.testing import CliRunner

from scrm.sandbox.__main__ import command
from scrm.sandbox.config import ConfigError, SandboxConfig
from scrm.sandbox.defaults import DEFAULT_AES_KEY
from scrm.sandbox.ports import free_port
from scrm.sandbox.testing import running_sandbox

NO_AGENT = f'{{"apps": [{{"name": "a", "secret": "s", "token": "t", "aes_key": "{DEFAULT_AES_KEY}"}}]}}'


@pytest.fixture
def start():
    """start(*arguments) runs the program; whatever still runs at the end is killed."""
    begun = []

    def run(*arguments):
        program = [sys.executable, "-m", "scrm.sandbox", *arguments]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun.append(process)
        return process

    yield run
    for process in begun:
        process.kill()
        process.communicate(timeout=10)


def test_it_says_when_it_is_ready_and_stops_promptly(start):
    port = free_port()
    began = time.monotonic()
    running = start("--port", str(port))
    line = running.stdout.readline()
    ready = time.monotonic() - began
    assert f"sandbox WeCom ready: http://127.0.0.1:{port}" in line
    assert requests.get(f"http://127.0.0.1:{port}/control/", timeout=30).status_code == 200
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0
    assert time.monotonic() - began < 20
    assert ready < 30


def test_its_server_process_ends_when_it_is_killed(start):
    port = free_port()
    running = start("--port", str(port))
    running.stdout.readline()
    running.kill()
    running.wait()
    assert no_longer_answers(port)


def no_longer_answers(port):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            requests.get(f"http://127.0.0.1:{port}/control/", timeout=1)
        except requests.ConnectionError:
            return True
        time.sleep(0.1)
    return False


def refused(*arguments):
    """The one sentence the program ends with, run in this process."""
    result = CliRunner().invoke(command, [str(item) for item in arguments])
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1
    return result.output


def test_a_taken_port_is_one_sentence_and_exit_code_2(process):
    port = process.base_url.rsplit(":", 1)[1]
    assert f"port {port} is taken" in refused("--port", port)


def test_a_bad_configuration_is_one_sentence_and_exit_code_2(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"colour": "red"}')
    assert "unknown key 'colour'" in refused("--config", path)
    assert "No such file" in refused("--config", tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be a JSON object"),
        ("{", "not JSON"),
        ('{"limits": {"corp_minute": "x"}}', "corp_minute must be"),
        ('{"apps": [{"name": "a"}]}', "secret must be a non-empty string"),
        (
            '{"apps": [{"name": "a", "agentid": 1, "secret": "s", "token": "t", "aes_key": "short"}]}',
            "43 characters",
        ),
        (NO_AGENT, "agentid"),
    ],
)
def test_configurations_are_checked(text, message):
    with pytest.raises(ConfigError, match=message):
        SandboxConfig.from_bytes(text.encode())


def test_the_corp_survives_a_restart_in_its_state_file(tmp_path):
    path = tmp_path / "state"
    with running_sandbox(state_file=path) as first:
        first.control.population(members=2, customers=5)
        people = first.control.state_ids("customer")
    with running_sandbox(state_file=path) as second:
        assert second.control.state_ids("customer") == people
        added = second.control.add("staff0001")[0]["external_userid"]
        assert added not in people


def test_a_state_file_that_is_something_else_is_left_alone(tmp_path):
    path = tmp_path / "state"
    path.write_text("rubbish")
    assert "is not a sandbox state file" in refused("--state-file", path)
    assert path.read_text() == "rubbish"

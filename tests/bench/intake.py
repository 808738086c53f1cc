"""`intake`: durable callback intake against an empty Flask view, same granian, same client, interleaved."""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask

from scrm.cli.stores import Postgres, Valkey, running
from scrm.sandbox.callbacks.delivery import Sealer
from scrm.sandbox.callbacks.wire import Target
from scrm.sandbox.config import AppConfig
from tests.bench.load import Result, drive

ROOT = Path(__file__).parents[2]
TARGET_RATIO = 0.25
TARGET_P99_MS = 25.0
WORKERS = 2
THREADS = 32
CONNECTIONS = 64
ROUNDS = 5
SECONDS = 3.0
PACE = 0.7
STOP_SECONDS = 10.0
PORTS = {"empty": 18761, "intake": 18762}
CORP = "wwbench0000000001"
TOKEN = "benchToken0123456789"
AES_KEY = "YmVuY2hiZW5jaGJlbmNoYmVuY2hiZW5jaGJlbmNoMTI"


def empty() -> Flask:
    """The baseline: a view that does nothing."""
    app = Flask("empty")

    @app.post("/wecom/callbacks/main")
    def nothing() -> str:
        return "success"

    return app


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; ``options`` may hold quick, rounds, seconds (of one run) and connections.

    :returns: one line for throughput, one for the 99th percentile at 70 % of it
    """
    quick = bool(options.get("quick"))
    rounds = int(options.get("rounds", 1 if quick else ROUNDS))
    seconds = float(options.get("seconds", 0.5 if quick else SECONDS))
    connections = int(options.get("connections", CONNECTIONS))
    with deployment() as dsn:
        bench = Bench(dsn, seconds, connections)
        bench.warm_up()
        for _ in range(rounds):
            bench.one_round()
        return bench.lines()


class Bench:
    """The measurement against two running servers."""

    def __init__(self, dsn: str, seconds: float, connections: int) -> None:
        self.dsn, self.seconds, self.connections = dsn, seconds, connections
        self.made = 0
        self.taken: list[bytes] = []
        self.sent = 0
        self.refused = 0
        self.rates: dict[str, list[float]] = {"empty": [], "intake": []}
        self.p99_ms: list[float] = []
        self.guess = 8000.0

    def warm_up(self) -> None:
        """Let both servers import, connect and prepare their statement."""
        self._empty(0.5)
        self._intake(2000, None, 10)

    def one_round(self) -> None:
        """Baseline, intake as fast as it goes, and at 70 % of that speed on a fixed plan, one after the other."""
        self.rates["empty"].append(self._empty(self.seconds).rate)
        result = self._intake(int(self.guess * self.seconds * 1.5), None, self.seconds)
        self.guess = result.rate
        self.rates["intake"].append(result.rate)
        pace = PACE * result.rate
        paced = self._intake(int(pace * self.seconds), pace, self.seconds * 2)
        self.p99_ms.append(paced.percentile(0.99) * 1000)

    def _empty(self, seconds: float) -> Result:
        requests, _ = prepare(500, 0)
        return drive(PORTS["empty"], requests, connections=self.connections, seconds=seconds, repeat=True)

    def _intake(self, count: int, rate: float | None, seconds: float) -> Result:
        requests, digests = prepare(count, self.made)
        self.made += count
        result = drive(PORTS["intake"], requests, connections=self.connections, seconds=seconds, rate=rate)
        self.taken += [digests[index] for index in result.ok]
        self.refused += result.refused
        return result

    def lines(self) -> list[dict[str, Any]]:
        """The results, with what was lost (answered 200 and not there) and doubled."""
        with psycopg.connect(self.dsn) as connection:
            stored = [bytes(row[0]) for row in connection.execute("SELECT digest FROM callback_inbox")]
        lost, doubled = len(set(self.taken) - set(stored)), len(stored) - len(set(stored))
        value, baseline = (statistics.median(self.rates[name]) for name in ("intake", "empty"))
        ratio, p99_ms = value / baseline, statistics.median(self.p99_ms)
        sound = lost == 0 and doubled == 0 and self.refused == 0
        return [
            {
                "name": "intake", "value": round(value), "unit": "callbacks/s", "baseline": round(baseline),
                "ratio": round(ratio, 3), "target": f"ratio >= {TARGET_RATIO}", "pass": ratio >= TARGET_RATIO and sound,
                "lost": lost, "doubled": doubled, "refused": self.refused, "stored": len(stored),
                "rounds": {name: [round(rate) for rate in rates] for name, rates in self.rates.items()},
            },
            {
                "name": "intake.p99", "value": round(p99_ms, 2), "unit": "ms at 70 % of the maximum",
                "baseline": None, "ratio": None, "target": f"<= {TARGET_P99_MS} ms",
                "pass": p99_ms <= TARGET_P99_MS and sound, "rounds": [round(one, 1) for one in self.p99_ms],
            },
        ]  # fmt: skip


def prepare(count: int, first: int) -> tuple[list[bytes], list[bytes]]:
    """``count`` different encrypted adds as whole HTTP requests, and the digests of what is inside."""
    app = AppConfig(name="main", agentid=1000002, secret="-" * 20, token=TOKEN, aes_key=AES_KEY)
    sealer, target = Sealer(app, CORP), Target.of(f"http://127.0.0.1:{PORTS['intake']}/wecom/callbacks/main")
    now = int(time.time())
    requests, digests = [], []
    for number in range(first, first + count):
        plain = (
            f"<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
            f"<CreateTime>{now}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
            "<Event><![CDATA[change_external_contact]]></Event>"
            "<ChangeType><![CDATA[add_external_contact]]></ChangeType>"
            f"<UserID><![CDATA[staff{number % 50}]]></UserID>"
            f"<ExternalUserID><![CDATA[wmBench{number:025d}]]></ExternalUserID>"
            f"<State><![CDATA[channel_1]]></State><WelcomeCode><![CDATA[CODE{number:039d}]]></WelcomeCode></xml>"
        )
        query, body = sealer.seal(plain, now)
        requests.append(target.request("POST", query, body))
        digests.append(hashlib.sha256(plain.encode()).digest())
    return requests, digests


@contextmanager
def deployment() -> Iterator[str]:
    """Durable stores and both servers; yields the database's address."""
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder, ExitStack() as stack:
        postgres, valkey = Postgres(Path(folder) / "pg", durable=True), Valkey(Path(folder) / "valkey")
        stack.enter_context(running(postgres, valkey))
        environment = {
            **os.environ,
            "SCRM_DATABASE_URL": postgres.url, "SCRM_REDIS_URL": valkey.url, "SCRM_VAR_DIR": f"{folder}/var",
            "SCRM_CORP__ID": CORP, "SCRM_APPS__MAIN__AGENT_ID": "1000002",
            "SCRM_APPS__MAIN__SECRET": "-" * 20, "SCRM_APPS__MAIN__TOKEN": TOKEN, "SCRM_APPS__MAIN__AES_KEY": AES_KEY,
            "SCRM_WEB__WORKERS": str(WORKERS), "SCRM_WEB__THREADS": str(THREADS), "SCRM_LOG__LEVEL": "WARNING",
        }  # fmt: skip
        scrm = Path(sys.executable).with_name("scrm")
        subprocess.run(
            [str(scrm), "migrate"], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        stack.enter_context(
            process(server("tests.bench.intake:empty", PORTS["empty"], "--factory"), environment)
        )
        stack.enter_context(process(server("app:app", PORTS["intake"]), environment))
        for port in PORTS.values():
            wait_for(port)
        yield postgres.dsn("scrm")


def server(target: str, port: int, *flags: str) -> list[str]:
    """The command that serves ``target``, the same for both sides."""
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--log-level", "error", "--workers", str(WORKERS),
        "--blocking-threads", str(THREADS), "--port", str(port), "--no-ws", *flags, target,
    ]  # fmt: skip


@contextmanager
def process(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command for the length of a block; at the end it and its children are gone."""
    started = subprocess.Popen(command, env=dict(environment), cwd=ROOT, start_new_session=True)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def wait_for(port: int, seconds: float = 60.0) -> None:
    """Until the server answers anything."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/none", timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing answers on port {port}")

"""The parts of a deployment on one machine as children of `scrm up`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from redis import Redis
from redis.exceptions import RedisError

from config.queues import Queue
from scrm.cli.serving.worker import worker_name
from scrm.cli.stores import Postgres, Valkey, missing_stores
from scrm.cli.supervision.child import Child, spawn_scrm
from scrm.cli.supervision.folder import MARKER, Folder
from scrm.kernel.beats import PREFIX

STORE_GRACE = 30.0
WORKER_GRACE = 30.0  # a job ends by itself after about 20 s
WEB_GRACE = 12.0
SANDBOX_GRACE = 5.0


@dataclass(frozen=True)
class Parts:
    """Makes the children of one folder.

    :param environment: the ``SCRM_*`` variables that all of them get; filled while starting
    :param sandbox_url: address of the simulated WeCom
    :param durable: whether the embedded stores survive a power cut
    """

    folder: Folder
    web_url: str
    sandbox_url: str
    environment: dict[str, str]
    durable: bool = True

    def stores(self) -> list[Child]:
        """Embedded stores for those addresses that are not configured; their addresses join the environment."""
        missing = missing_stores(self.folder.path, self.environment, durable=self.durable)
        return [_store(store) for store in missing]

    def sandbox(self, port: int) -> Child:
        """The simulated WeCom."""
        arguments = ["sandbox", "--port", str(port), "--config", str(self.folder.path / "sandbox.json")]
        arguments += ["--state-file", str(self.folder.path / "sandbox.state")]
        return self._program("sandbox", arguments, _answers(f"{self.sandbox_url}/control/"), SANDBOX_GRACE)

    def workers(self) -> list[Child]:
        """One worker per queue."""
        return [
            self._program(f"worker:{queue}", ["worker", queue.value], self._worker_lives(queue), WORKER_GRACE)
            for queue in Queue
        ]

    def clock(self) -> Child:
        """The clock."""
        return self._program("clock", ["clock"], self._clock_lives)

    def web(self) -> Child:
        """The HTTP server."""
        return self._program("web", ["web"], _answers(f"{self.web_url}/readyz"), WEB_GRACE)

    def company(self) -> Child:
        """The simulated people."""
        return self._program("company", ["company"], lambda _: True, SANDBOX_GRACE)

    def clear_metrics(self) -> None:
        """Forget the counters of processes that are gone."""
        shutil.rmtree(self.folder.metrics, ignore_errors=True)
        self.folder.metrics.mkdir()

    def _program(
        self, name: str, arguments: list[str], ready: Callable[[int], bool], grace: float = 10.0
    ) -> Child:
        log = self.folder.logs / f"{name.replace(':', '-')}.log"
        given = {MARKER: str(self.folder.path), "PROMETHEUS_MULTIPROC_DIR": str(self.folder.metrics)}
        return Child(
            name,
            lambda: spawn_scrm(arguments, log, {**self.environment, **given}),
            ready,
            log,
            grace=grace,
        )

    def _worker_lives(self, queue: Queue) -> Callable[[int], bool]:
        def question(pid: int) -> bool:
            return self._in_redis(lambda store: store.exists(f"rq:worker:{worker_name(queue, pid)}"))

        return question

    def _clock_lives(self, pid: int) -> bool:
        # Any clock will do: another machine's may lead while this one waits.
        return self._in_redis(lambda store: store.exists(f"{PREFIX}clock"))

    def _in_redis(self, question: Callable[[Redis], object]) -> bool:
        try:
            with Redis.from_url(self.environment["SCRM_REDIS_URL"], socket_timeout=2) as store:
                return bool(question(store))
        except RedisError:
            return False


def _store(store: Postgres | Valkey) -> Child:
    return Child(
        store.name,
        store.spawn,
        lambda _: store.answers(),
        Path(store.log),
        how=store.stop_signal,
        grace=STORE_GRACE,
    )


def _answers(url: str) -> Callable[[int], bool]:
    def question(_: int) -> bool:
        try:
            with requests.Session() as session:
                session.trust_env = False  # a proxy variable must not catch loopback calls
                return session.get(url, timeout=2).ok
        except requests.RequestException:
            return False

    return question

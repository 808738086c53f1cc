"""The life of one `scrm up`: hold the folder, clean up, start in order, say where everything is, watch, stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from rich.console import Console

from config.settings import Settings, current_settings
from scrm.cli.ports import check_free
from scrm.cli.supervision.folder import Folder
from scrm.cli.supervision.leftovers import end_leftovers
from scrm.cli.supervision.parts import Parts
from scrm.cli.supervision.sandbox_corp import environment_for, sandbox_corp
from scrm.cli.supervision.screen import Screen
from scrm.cli.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    from flask import Flask

    from scrm.cli.supervision.child import Child

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # we do not listen here, we name it


class Deployment:
    """Everything of one folder.

    :param port_base: port of the web process, the sandbox takes the next; None: as configured
    :param company: whether the simulated people live
    """

    def __init__(self, settings: Settings, port_base: int | None, *, company: bool) -> None:
        self.settings = settings
        self.company = company
        self.host = settings.web.host
        self.port = port_base or settings.web.port
        self.sandbox_port = self.port + 1
        self.folder = Folder(settings.var_dir)
        self.stop, self.hurry = threading.Event(), threading.Event()
        self.screen = Screen(Console())
        self.supervisor = Supervisor(self.folder, self.screen.say, self.stop)
        host = ANY_ADDRESS.get(self.host, self.host)
        self.web_url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self.parts = Parts(self.folder, self.web_url, f"http://127.0.0.1:{self.sandbox_port}", self._given())

    def run(self) -> None:
        """Start, watch, stop; raises SettingsError before anything is started, Problem when a part cannot start."""
        with self.folder.held():
            self._catch_signals()
            end_leftovers(self.folder, self.screen.say)
            self._check_ports()
            started = time.monotonic()
            try:
                self._start()
                if not self.stop.is_set():
                    self._welcome(time.monotonic() - started)
                    self.supervisor.watch()
            finally:
                self.screen.say("stopping …")
                self.supervisor.stop_all(self.hurry)
                self.folder.environment.unlink(missing_ok=True)
                self.screen.say("stopped")

    def _catch_signals(self) -> None:
        def asked(*_: object) -> None:
            if self.stop.is_set():
                self.hurry.set()  # a second Ctrl-C: do not wait for running jobs
            self.stop.set()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, asked)

    def _check_ports(self) -> None:
        way_out = "stop that program, or give other ports with --port-base"
        check_free(self.host, self.port, way_out)
        if self.settings.sandboxed:
            check_free("127.0.0.1", self.sandbox_port, way_out)

    def _given(self) -> dict[str, str]:
        """What every process is told, beside what this one was told."""
        return {
            "SCRM_DATABASE_URL": self.settings.database_url.get_secret_value(),
            "SCRM_REDIS_URL": self.settings.redis_url.get_secret_value(),
            "SCRM_VAR_DIR": str(self.folder.path),
            "SCRM_WEB__HOST": self.host,
            "SCRM_WEB__PORT": str(self.port),
        }

    def _start(self) -> None:
        with self.screen.steps() as done:
            first = self.parts.stores()
            for child in first:
                self.supervisor.start(child)
            others = self._start_sandbox()
            self.supervisor.wait_ready(first, done)
            if self.stop.is_set():
                return
            self._migrate()
            done("schema")
            self.parts.clear_metrics()
            for child in (*self.parts.workers(), self.parts.clock(), self.parts.web()):
                self.supervisor.start(child)
                others.append(child)
            self.supervisor.wait_ready(others, done)
            if self.settings.sandboxed and self.company and not self.stop.is_set():
                self.supervisor.start(self.parts.company())

    def _start_sandbox(self) -> list[Child]:
        if not self.settings.sandboxed:
            return []
        corp = sandbox_corp(self.folder, self.web_url)
        self.parts.environment.update(environment_for(corp, self.parts.sandbox_url))
        child = self.parts.sandbox(self.sandbox_port)
        self.supervisor.start(child)
        return [child]

    def _migrate(self) -> None:
        from scrm.cli.migrate import migrated

        os.environ.update(self.parts.environment)  # from here on this process is one of the deployment
        current_settings.cache_clear()
        self.folder.keep_environment(self.parts.environment)
        migrated(self._app())

    def _app(self) -> Flask:
        from scrm.cli.application import application

        return application("up")

    def _welcome(self, seconds: float) -> None:
        from scrm.cli.signin import signin_link

        link = signin_link(self._app(), self.web_url)
        self.screen.addresses(
            {
                "overview": self.web_url,
                "API documentation": f"{self.web_url}/api/v1/docs",
                "callbacks": f"{self.settings.web.public_url or self.web_url}/wecom/callbacks/<app>",
                "simulated WeCom": self.parts.sandbox_url if self.settings.sandboxed else "",
                "logs": str(self.folder.logs),
                "an API key": "scrm apikey create NAME --scope '*'",
                "check-up": "scrm doctor",
            },
            seconds,
        )
        self.screen.link("sign in to the overview (works once, within 12 hours):", link)

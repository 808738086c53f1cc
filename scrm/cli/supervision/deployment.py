"""Everything of one folder: started in order, filled with a simulated corp, stopped in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING

from config.settings import Settings, current_settings
from scrm.cli.ports import check_free
from scrm.cli.supervision.folder import Folder
from scrm.cli.supervision.parts import Parts
from scrm.cli.supervision.sandbox_corp import environment_for, sandbox_corp
from scrm.cli.supervision.supervisor import Supervisor
from scrm.sandbox.control import SandboxControl

if TYPE_CHECKING:
    from flask import Flask

    from scrm.cli.supervision.child import Child

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # we do not listen here, we name it
FIRST_PEOPLE = {
    "members": 5,
    "departments": 2,
    "customers": 30,
    "groups": 2,
    "group_size": 8,
    "kf_accounts": 1,
}


@dataclass(frozen=True)
class Wishes:
    """What one deployment is to be like.

    :param port: of the web process
    :param sandbox_port: of the simulated WeCom
    :param company: whether the simulated people live of their own accord
    :param durable: whether the embedded stores survive a power cut; not needed for throw-away ones
    :param people: size of the simulated corp when it is founded
    :param limits: figures of the simulated WeCom that differ from its usual ones
    """

    port: int
    sandbox_port: int
    company: bool = True
    durable: bool = True
    people: dict[str, int] = field(default_factory=lambda: FIRST_PEOPLE)
    limits: dict[str, float] = field(default_factory=dict)


class Deployment:
    """Stores, sandbox, web, workers and clock of one folder; the caller holds the folder.

    :param say: shows one sentence
    :param stop: set when everything should end
    """

    def __init__(self, settings: Settings, wishes: Wishes, say: Callable[[str], None], stop: Event) -> None:
        self.settings = settings
        self.wishes = wishes
        self.stop = stop
        self.folder = Folder(settings.var_dir)
        self.host = settings.web.host
        host = ANY_ADDRESS.get(self.host, self.host)
        self.web_url = f"http://[{host}]:{wishes.port}" if ":" in host else f"http://{host}:{wishes.port}"
        self.sandbox_url = f"http://127.0.0.1:{wishes.sandbox_port}"
        self.supervisor = Supervisor(self.folder, say, stop)
        self.parts = Parts(
            self.folder, self.web_url, self.sandbox_url, self._given(), durable=self.wishes.durable
        )

    def check_ports(self) -> None:
        """Raise SettingsError when a port is taken."""
        way_out = "stop that program, or give other ports with --port-base"
        check_free(self.host, self.wishes.port, way_out)
        if self.settings.sandboxed:
            check_free("127.0.0.1", self.wishes.sandbox_port, way_out)

    def start(self, done: Callable[[str], None]) -> None:
        """Start everything and wait until it works; ``done`` gets the name of each part that does.

        :raises Problem: when a part does not start
        """
        stores, sandbox = self.parts.stores(), self._sandbox()
        for child in (*stores, *sandbox):
            self.supervisor.start(child)
        self.supervisor.wait_ready((*stores, *sandbox), done)
        if self.stop.is_set():
            return
        self._migrate()
        done("schema")
        if self.settings.sandboxed:
            self._found_corp()
        self._start_programs(done)

    def end(self, hurry: Event | None = None) -> None:
        """Stop everything, last started first."""
        self.supervisor.stop_all(hurry)
        self.folder.environment.unlink(missing_ok=True)

    @cached_property
    def app(self) -> Flask:
        """The application with the settings of this deployment; ask for it once the stores run."""
        from scrm.cli.application import application

        return application("up")

    def _start_programs(self, done: Callable[[str], None]) -> None:
        self.parts.clear_metrics()
        programs = [*self.parts.workers(), self.parts.clock(), self.parts.web()]
        for child in programs:
            self.supervisor.start(child)
        self.supervisor.wait_ready(programs, done)
        if self.settings.sandboxed and self.wishes.company and not self.stop.is_set():
            self.supervisor.start(self.parts.company())

    def _given(self) -> dict[str, str]:
        """What every process is told, beside what this one was told."""
        return {
            "SCRM_DATABASE_URL": self.settings.database_url.get_secret_value(),
            "SCRM_REDIS_URL": self.settings.redis_url.get_secret_value(),
            "SCRM_VAR_DIR": str(self.folder.path),
            "SCRM_WEB__HOST": self.host,
            "SCRM_WEB__PORT": str(self.wishes.port),
        }

    def _sandbox(self) -> list[Child]:
        if not self.settings.sandboxed:
            return []
        corp = sandbox_corp(self.folder, self.web_url, self.wishes.limits)
        self.parts.environment.update(environment_for(corp, self.sandbox_url))
        return [self.parts.sandbox(self.wishes.sandbox_port)]

    def _migrate(self) -> None:
        from scrm.cli.migrate import migrated

        os.environ.update(self.parts.environment)  # from here on this process is one of the deployment
        current_settings.cache_clear()
        self.folder.keep_environment(self.parts.environment)
        migrated(self.app)

    def _found_corp(self) -> None:
        """Give a new simulated corp its people, before anything of ours looks at it."""
        control = SandboxControl(self.sandbox_url)
        if not control.overview()["members"]:
            control.population(**self.wishes.people)
        control.close()

"""Keeps children running: starts them, waits for them, restarts who dies, stops all in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Event

from scrm.cli.exits import Problem
from scrm.cli.supervision.child import Child
from scrm.cli.supervision.folder import Folder
from scrm.cli.supervision.leftovers import note_processes

LOOK_SECONDS = 0.2
START_SECONDS = 120.0  # of a part; seconds on an idle machine


class Supervisor:
    """The children of one `scrm up`.

    :param say: shows one sentence on the screen
    :param stop: set when everything should end
    """

    def __init__(self, folder: Folder, say: Callable[[str], None], stop: Event) -> None:
        self.folder = folder
        self.say = say
        self.stop = stop
        self.children: list[Child] = []

    def start(self, child: Child) -> None:
        """Start a child and supervise it from now on. Children are stopped in the opposite order."""
        self.children.append(child)
        child.start()
        self._note()

    def wait_ready(self, children: Iterable[Child], progress: Callable[[str], None] = lambda _: None) -> None:
        """Wait until all are ready; ``progress`` gets the name of each.

        :raises Problem: when one ends or takes longer than 120 s, with the last lines of its log
        """
        waiting = list(children)
        until = time.monotonic() + START_SECONDS
        while waiting and not self.stop.is_set():
            for child in list(waiting):
                if child.has_ended() or time.monotonic() > until:
                    raise Problem(_why(child))
                if child.is_ready():
                    waiting.remove(child)
                    progress(child.name)
            self.stop.wait(0.05)

    def watch(self) -> None:
        """Restart whoever dies, until ``stop`` is set."""
        while not self.stop.is_set():
            self.look()
            self.stop.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Look at every child once."""
        for child in self.children:
            if child.has_ended():
                code = child.process.returncode if child.process else 0
                wait = child.plan_restart()
                self.say(
                    f"{child.name} ended ({_manner(code)}); starting it again in {wait:g} s, log: {child.log}"
                )
            elif child.restart_at is not None and child.restart_at <= time.monotonic():
                self._restart(child)

    def _restart(self, child: Child) -> None:
        try:
            child.start()
        except OSError as error:  # out of memory or processes for the moment
            wait = child.plan_restart()
            self.say(f"{child.name} could not be started ({error.strerror}); again in {wait:g} s")
            return
        self._note()
        self.say(f"{child.name} was started again")

    def stop_all(self, hurry: Event | None = None) -> None:
        """End all, last started first, each in order or by SIGKILL after its grace; none is left.

        :param hurry: set when a person does not want to wait for running jobs any longer
        """
        for group in self._stop_groups():
            for child in group:
                child.ask_to_end()
            until = time.monotonic() + max(child.grace for child in group)
            while any(c.process and c.process.poll() is None for c in group) and time.monotonic() < until:
                if hurry is not None and hurry.is_set():
                    break
                time.sleep(0.02)
            for child in group:
                if not child.wait_end(time.monotonic()):
                    self.say(f"{child.name} did not end within {child.grace:g} s and was killed")
        self.children = []
        self.folder.processes.unlink(missing_ok=True)

    def _stop_groups(self) -> list[list[Child]]:
        """Children in stopping order; those of the same kind (all workers) end together."""
        groups: dict[str, list[Child]] = {}
        for child in reversed(self.children):
            groups.setdefault(child.name.partition(":")[0], []).append(child)
        return list(groups.values())

    def _note(self) -> None:
        running = [
            (c.name, c.process.pid, int(c.how)) for c in reversed(self.children) if c.process is not None
        ]
        note_processes(self.folder.processes, running)


def _manner(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"


def _why(child: Child) -> str:
    ended = child.has_ended() and child.process is not None
    manner = (
        f"ended at once ({_manner(child.process.returncode)})"
        if ended and child.process
        else "did not become ready"
    )
    return f"{child.name} {manner}; its log {child.log} ends with:\n{child.last_lines()}"

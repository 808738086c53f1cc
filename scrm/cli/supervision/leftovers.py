"""Processes that a killed `scrm up` left behind: found by a list with start times, and by a mark in their environment.

A process id alone proves nothing, it may have been given to another program since; the start time tells them apart.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson
import psutil

from scrm.cli.supervision.folder import MARKER, Folder, write_private

GRACE_SECONDS = 20.0  # a worker may finish its job; PostgreSQL may write its last checkpoint


def note_processes(path: Path, pids: Iterable[tuple[str, int, int]]) -> None:
    """Write down what runs: (name, process id, signal that ends it in order)."""
    found = []
    for name, pid, how in pids:
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            continue
        found.append({"name": name, "pid": pid, "started": started, "signal": how})
    write_private(path, orjson.dumps(found))


def end_leftovers(folder: Folder, say: Callable[[str], None]) -> int:
    """End what an earlier `scrm up` of this folder left behind; returns how many processes there were.

    First everything is asked to end, stores last; who has not after 20 s is killed.
    """
    listed = _listed(folder.processes)
    marked = [process for process in _marked(folder) if process.pid not in {p.pid for p, _ in listed}]
    everything = [*((process, signal.SIGTERM) for process in marked), *listed]
    if not everything:
        return 0
    say(f"an earlier `scrm up` was killed and left {len(everything)} processes; ending them")
    for process, how in everything:
        _send(process, how)
        _send(process, signal.SIGCONT)  # a stopped process takes no other signal
    _, alive = psutil.wait_procs([process for process, _ in everything], timeout=GRACE_SECONDS)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
    folder.processes.unlink(missing_ok=True)
    return len(everything)


def _listed(path: Path) -> list[tuple[psutil.Process, int]]:
    try:
        entries = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return []
    found = []
    for entry in entries:
        try:
            process = psutil.Process(entry["pid"])
            if abs(process.create_time() - entry["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process, int(entry["signal"])))
        except psutil.NoSuchProcess:
            continue
    return found


def _marked(folder: Folder) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(folder.path):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _send(process: psutil.Process, how: int) -> None:
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return

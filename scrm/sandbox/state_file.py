"""Keeps the corp over a restart: one file, written by this program for itself."""

from __future__ import annotations

import pickle
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from scrm.sandbox.config import ConfigError
from scrm.sandbox.model.world import World
from scrm.sandbox.people import broadcasts, group_transfers, link_quota, transfers

if TYPE_CHECKING:
    from pathlib import Path

    from scrm.sandbox.runtime import Sandbox

HEADER = b"scrm sandbox state 1\n"
# What belongs to the process or to the configuration, not to the corp.
LEFT_OUT = frozenset({"lock", "config", "limits", "apps", "tokens", "bulk_rows"})


def check(path: Path) -> None:
    """ConfigError unless the file is absent or starts as one of ours; OSError when it cannot be read."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            raise ConfigError(f"{path} is not a sandbox state file; move it away or name another")


def save(sandbox: Sandbox, path: Path) -> int:
    """Write the corp and return the number of bytes; the old file stays until the new one is whole."""
    world = sandbox.world
    with world.lock:
        values = {item.name: getattr(world, item.name) for item in fields(World) if item.name not in LEFT_OUT}
        data = HEADER + pickle.dumps(values, protocol=pickle.HIGHEST_PROTOCOL)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.replace(path)
    return len(data)


def load(sandbox: Sandbox, path: Path) -> None:
    """Take the corp from the file when there is one; tokens are new, what was planned goes on."""
    if not path.exists():
        return
    data = path.read_bytes()
    if not data.startswith(HEADER):
        raise ConfigError(f"{path} is not a sandbox state file")
    values: dict[str, Any] = pickle.loads(data[len(HEADER) :])  # noqa: S301 - our own file, see HEADER
    with sandbox.world.lock:
        for name, value in values.items():
            setattr(sandbox.world, name, value)
        for module in (broadcasts, transfers, group_transfers, link_quota):
            module.replan(sandbox)

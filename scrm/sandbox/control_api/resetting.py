"""Back to an empty corp without restarting the process."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from scrm.sandbox.model.world import World
from scrm.sandbox.people import link_quota

if TYPE_CHECKING:
    from scrm.sandbox.runtime import Sandbox

KEPT = frozenset({"lock"})


def reset(sandbox: Sandbox, seed: int | None) -> None:
    """Forget everything but the callback addresses; ids and population start again from the seed."""
    for run in sandbox.traffic.values():
        run.stopped = True
    sandbox.api_faults.clear()
    sandbox.callback_faults.clear()
    sandbox.scheduler.clear()
    sandbox.sender.clear()
    with sandbox.world.lock:
        old = sandbox.world
        config = old.config if seed is None else replace(old.config, seed=seed)
        fresh = World.create(config)
        for name, app in fresh.apps.items():
            app.callback_url = old.apps[name].callback_url
        for item in fields(World):
            if item.name not in KEPT:
                setattr(old, item.name, getattr(fresh, item.name))
        sandbox.outbox.records.clear()
        link_quota.replan(sandbox)
    sandbox.limits.clear()
    sandbox.log.clear()

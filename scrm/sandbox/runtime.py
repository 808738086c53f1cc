"""Everything one running sandbox consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrm.sandbox.api_faults import ApiFaults
from scrm.sandbox.call_log import CallLog
from scrm.sandbox.callbacks.faults import CallbackFaults
from scrm.sandbox.callbacks.outbox import Outbox
from scrm.sandbox.callbacks.sender import Sender
from scrm.sandbox.model.world import World
from scrm.sandbox.rate_limits import RateLimits
from scrm.sandbox.scheduler import Scheduler

if TYPE_CHECKING:
    from pathlib import Path

    from scrm.sandbox.callbacks.traffic import TrafficRun
    from scrm.sandbox.config import SandboxConfig


@dataclass(slots=True, eq=False)
class Sandbox:
    """The world and the machinery around it; one per process, replaced piece by piece on reset."""

    world: World
    log: CallLog
    api_faults: ApiFaults
    callback_faults: CallbackFaults
    limits: RateLimits
    sender: Sender
    outbox: Outbox
    scheduler: Scheduler
    traffic: dict[int, TrafficRun] = field(default_factory=dict)
    state_file: Path | None = None

    @classmethod
    def create(cls, config: SandboxConfig) -> Sandbox:
        """A sandbox with an empty corp; starts no threads."""
        world = World.create(config)
        sender = Sender(world)
        callback_faults = CallbackFaults()
        return cls(
            world=world,
            log=CallLog(config.limits.log_keep),
            api_faults=ApiFaults(),
            callback_faults=callback_faults,
            limits=RateLimits(world),
            sender=sender,
            outbox=Outbox(world, sender, callback_faults),
            scheduler=Scheduler(world),
        )

    def stop(self) -> None:
        """End the background threads."""
        self.api_faults.clear()
        self.sender.stop()
        self.scheduler.stop()

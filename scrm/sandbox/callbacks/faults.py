"""Faults of callback delivery on demand: duplicate, reorder, delay, drop."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.delivery import DROPPED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrm.sandbox.callbacks.delivery import Delivery

KINDS = ("duplicate", "reorder", "delay", "drop")


@dataclass(slots=True, eq=False)
class CallbackFault:
    """`pattern` matches `event` or `event/change_type`; `times` None = until removed."""

    kind: str
    pattern: str = "*"
    times: int | None = 1
    probability: float = 1.0
    seconds: float = 1.0
    copies: int = 3
    window: int = 10
    rng: random.Random = field(default_factory=random.Random)
    held: list[Delivery] = field(default_factory=list)

    def takes(self, delivery: Delivery) -> bool:
        """Whether this fault strikes, counting down when it does."""
        name = f"{delivery.event}/{delivery.change_type}"
        if self.times == 0 or not (
            fnmatchcase(name, self.pattern) or fnmatchcase(delivery.event, self.pattern)
        ):
            return False
        if self.probability < 1 and self.rng.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class CallbackFaults:
    """The faults in force, first match wins."""

    def __init__(self) -> None:
        """No faults."""
        self._faults: list[CallbackFault] = []
        self._lock = threading.Lock()

    def add(self, fault: CallbackFault) -> None:
        """Put a fault in force."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> list[Delivery]:
        """Remove all; return what a reorder still held back."""
        with self._lock:
            held = [item for fault in self._faults for item in fault.held]
            self._faults.clear()
            return held

    def listing(self) -> list[dict[str, object]]:
        """What is in force, for the control API."""
        with self._lock:
            return [
                {"kind": item.kind, "event": item.pattern, "times": item.times, "held": len(item.held)}
                for item in self._faults
            ]

    def apply(self, delivery: Delivery) -> Iterable[tuple[Delivery, float]]:
        """Return (delivery, delay in real seconds) pairs to send now."""
        with self._lock:
            for fault in self._faults:
                if fault.takes(delivery):
                    return _strike(fault, delivery)
        return ((delivery, 0.0),)


def _strike(fault: CallbackFault, delivery: Delivery) -> Iterable[tuple[Delivery, float]]:
    if fault.kind == "drop":
        delivery.status = DROPPED
        return ((delivery, 0.0),)
    if fault.kind == "delay":
        return ((delivery, fault.seconds),)
    if fault.kind == "duplicate":
        return tuple((delivery, 0.0) for _ in range(fault.copies))
    fault.held.append(delivery)
    if len(fault.held) < fault.window and fault.times != 0:
        return ()
    released, fault.held = fault.held, []
    fault.rng.shuffle(released)
    # A small step between them keeps the shuffled order on several sender threads.
    return tuple((item, 0.02 * index) for index, item in enumerate(released))

"""Sets in this process's memory: the least recently used go when they take more room than they may."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from pyroaring import BitMap64

from scrm.kernel.kept import kept
from scrm.kernel.settings import settings
from scrm.kernel.snapshots import Snapshot

RELOAD_SECONDS = 600.0  # then Redis is asked again: a set that was found wrong is mended there
OVERHEAD = 600  # bytes of a set beside its bits: key, snapshot, Python's own


@dataclass(frozen=True)
class KeptSet:
    """A set as it was at a moment. Nobody changes ``bits``: it is shared.

    :param snapshot: it holds every change that this snapshot saw
    :param as_of: a moment just before the snapshot, from which the leaf's windows were counted too
    """

    bits: BitMap64
    snapshot: Snapshot
    as_of: datetime

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return len(self.bits.serialize()) + OVERHEAD


class Memory:
    """Sets by key.

    :param most_bytes: how much they may take together; a single larger one is not kept
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._sets: OrderedDict[str, tuple[KeptSet, int]] = OrderedDict()
        self._since: dict[str, float] = {}  # time.monotonic() of the first that was kept since there was none
        self._bytes = 0
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}
        self._used: Counter[str] = Counter()  # how often each was asked for since that was last told
        self._tell_at = 0.0

    def get(self, keys: Iterable[str]) -> dict[str, KeptSet]:
        """Those that are there, and have not been for too long."""
        found = {}
        old = time.monotonic() - RELOAD_SECONDS
        with self._lock:
            for key in keys:
                if self._since.get(key, old) < old:
                    self._drop(key)
                if key in self._sets:
                    self._sets.move_to_end(key)
                    found[key] = self._sets[key][0]
        return found

    def put(self, sets: Mapping[str, KeptSet]) -> None:
        """Keep these; an older one never takes the place of a newer one."""
        sized = {key: each.size for key, each in sets.items()}
        with self._lock:
            for key, each in sets.items():
                before, size = self._sets.get(key, (None, 0))
                if before is not None and before.as_of > each.as_of:
                    continue
                self._sets[key] = (each, sized[key])
                self._since.setdefault(key, time.monotonic())
                self._sets.move_to_end(key)
                self._bytes += sized[key] - size
            while self._bytes > self._most:
                self._drop(next(iter(self._sets)))

    def _drop(self, key: str) -> None:
        self._since.pop(key, None)
        _, size = self._sets.pop(key, (None, 0))
        self._bytes -= size

    def take_used(self, keys: Iterable[str], every: float) -> Counter[str]:
        """Count that these were asked for; all counts since the last time, if that is ``every`` seconds ago."""
        with self._lock:
            self._used.update(keys)
            now = time.monotonic()
            if now < self._tell_at:
                return Counter()
            self._tell_at = now + every
            taken, self._used = self._used, Counter()
        return taken

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._sets.clear()
            self._since.clear()
            self._bytes = 0

    @contextmanager
    def alone(self, keys: Iterable[str], seconds: float) -> Iterator[None]:
        """Let one thread at a time ask for these sets; who waited ``seconds`` goes ahead all the same."""
        wanted = sorted(keys)
        with ExitStack() as held:
            held.callback(self._drop_idle, wanted)
            for key in wanted:
                with self._lock:
                    lock = self._asking.setdefault(key, threading.Lock())
                if lock.acquire(timeout=seconds):
                    held.callback(lock.release)
            yield

    def _drop_idle(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                if key in self._asking and not self._asking[key].locked():
                    del self._asking[key]


def memory() -> Memory:
    """That of this process."""
    return kept("scrm_sets", lambda: Memory(settings().sets.memory_megabytes * 1024 * 1024))

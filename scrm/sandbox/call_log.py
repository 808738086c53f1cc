"""What the simulated WeCom accepted and what it refused: the truth tests compare the backend with."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

RESULT_BYTES = 2_048  # larger answers are reads; their text helps no assertion


@dataclass(slots=True, eq=False)
class LogEntry:
    """One API call. `fault` names an injected fault that shaped the answer."""

    seq: int
    at: float
    app: str | None
    api: str
    method: str
    errcode: int
    query: dict[str, str]
    body: bytes
    result: bytes
    fault: str | None

    def as_json(self) -> dict[str, Any]:
        """The entry with its body and result parsed; multipart bodies show as their size."""
        return {
            "seq": self.seq,
            "at": self.at,
            "app": self.app,
            "api": self.api,
            "method": self.method,
            "errcode": self.errcode,
            "accepted": self.errcode == 0,
            "params": {key: value for key, value in self.query.items() if key not in HIDDEN},
            "body": _parsed(self.body),
            "result": _parsed(self.result),
            "fault": self.fault,
        }


HIDDEN = frozenset({"access_token", "corpsecret"})


def _parsed(data: bytes) -> Any:
    if not data:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return {"bytes": len(data)}


class CallLog:
    """The last `keep` calls and counts of all of them."""

    def __init__(self, keep: int) -> None:
        """Start empty; sequence numbers begin at 1."""
        self._lock = threading.Lock()
        self._entries: deque[LogEntry] = deque(maxlen=keep)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._last = 0

    def add(self, entry: LogEntry) -> None:
        """Append; the entry's `seq` is set here."""
        with self._lock:
            self._last += 1
            entry.seq = self._last
            self._entries.append(entry)
            self._counts[(entry.api, entry.errcode)] += 1

    def find(self, api: str | None, since: int, limit: int, everything: bool) -> tuple[list[LogEntry], int]:
        """Entries with seq > `since`, at most `limit`, accepted ones only unless `everything`; and the last seq."""
        with self._lock:
            first = self._entries[0].seq if self._entries else 0
            skip = max(0, since - first + 1)
            found: list[LogEntry] = []
            for entry in islice(self._entries, skip, None):
                if (everything or entry.errcode == 0) and (api is None or entry.api == api):
                    found.append(entry)
                    if len(found) >= limit:
                        break
            return found, self._last

    def counts(self) -> dict[str, dict[str, int]]:
        """How often each API answered each errcode."""
        with self._lock:
            table: dict[str, dict[str, int]] = {}
            for (api, errcode), number in sorted(self._counts.items()):
                table.setdefault(api, {})[str(errcode)] = number
            return table

    def clear(self) -> None:
        """Forget everything; sequence numbers go on."""
        with self._lock:
            self._entries.clear()
            self._counts.clear()

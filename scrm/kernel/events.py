"""Domain events: what happened, told downstream.

A package publishes frozen dataclasses (ids only) while it writes. Before the commit, :func:`deliver` hands them to
the subscribers, **in lists by type and in the same transaction**, so that a reaction that only writes rows cannot be
lost and works set-based. Slow reactions wake a job, which runs after the commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from scrm.kernel.db import session

MAX_ROUNDS = 10
E = TypeVar("E")
Subscriber = Callable[[Sequence[Any]], None]

_subscribers: dict[type, list[Subscriber]] = defaultdict(list)


def publish(*events: object) -> None:
    """Remember that something happened in the running transaction."""
    session().info.setdefault("events", []).extend(events)


def subscribe(kind: type[E]) -> Callable[[Callable[[Sequence[E]], None]], Callable[[Sequence[E]], None]]:
    """Call the function with all events of ``kind`` of one transaction; it may write rows and wake jobs."""

    def register(func: Callable[[Sequence[E]], None]) -> Callable[[Sequence[E]], None]:
        if func not in _subscribers[kind]:
            _subscribers[kind].append(func)
        return func

    return register


def deliver() -> None:
    """Hand over everything published, and what that publishes, until there is no more.

    :raises RuntimeError: when events cause events without end (a cycle between subscribers)
    """
    info = session().info
    for _ in range(MAX_ROUNDS):
        pending = info.pop("events", [])
        if not pending:
            return
        by_kind: dict[type, list[Any]] = defaultdict(list)
        for event in pending:
            by_kind[type(event)].append(event)
        for kind, batch in by_kind.items():
            for func in _subscribers.get(kind, ()):
                func(batch)
    raise RuntimeError(
        f"events still cause events after {MAX_ROUNDS} rounds: {sorted(k.__name__ for k in by_kind)}"
    )


def drop() -> None:
    """Forget what was published; the transaction was rolled back."""
    session().info.pop("events", None)

"""Kinds of effects: one file each in ``scrm/wecom/kinds``, found here by name.

To add one: write ``kinds/<name>.py`` with a module constant ``KIND``, and a line in the contract test's table.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from config.queues import Queue
from config.settings import Feature
from scrm.wecom import kinds as folder
from scrm.wecom.client import Client
from scrm.wecom.models import Priority

Json = dict[str, Any]
QUESTION = (
    "请在企业微信中查看这项变更是否已经生效。",
    "Look in WeCom whether this change has taken effect.",
)


class Verdict(StrEnum):
    """What asking WeCom about an unknown effect showed."""

    DONE = "done"
    NOT_DONE = "not_done"  # it never happened and may safely be sent
    REFUSED = "refused"  # it did not happen and cannot
    OPEN = "open"  # not to be seen yet; ask again later
    PERSON = "person"  # WeCom will never tell; somebody has to look


@dataclass(frozen=True)
class Answer:
    """The answer of a kind's ``ask``.

    :param result: for DONE, what WeCom made, as ``send`` would have returned it
    :param errcode: for REFUSED, WeCom's code
    """

    verdict: Verdict
    result: Json | None = None
    errcode: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Asked:
    """What ``send`` and ``ask`` may know of an effect.

    :param sent_at: when it was handed over for sending the last time
    :param taken: identities (``Kind.identity``) that belong to other effects already
    """

    id: int
    payload: Json
    sent_at: datetime | None = None
    deadline_at: datetime | None = None
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kind:
    """One kind of outbound change.

    :param api: the path it is sent to, for limits and metrics
    :param send: makes the call; the result is kept on the row
    :param ask: finds out whether a call without an answer was carried out; None: only a person can know
    :param ask_api: the path ``ask`` calls first; empty: ``api``
    :param already: errcodes of ``send`` that mean it is as wanted already
    :param ask_after: seconds after sending before asking can be conclusive
    :param in_order: effects of one subject are carried out one after the other, oldest first
    :param once: makes its subject at WeCom, so that a second one would be made: of several failed ones of a subject only the
        newest may be sent again
    :param planned_anew: whoever planned it goes on by itself after a failure (asks for another receiver, say), so a failed
        one is never sent again
    :param identity: key of ``result`` that names what WeCom made; no two effects share its value
    :param masked: payload keys that are never shown
    :param backoff: first and longest pause in seconds before a retry
    :param patience: longest wait for a turn in seconds before it is put off
    :param read_timeout: seconds to wait for an answer; None: as configured
    :param question: in Chinese and English, what a person looks at in WeCom to say what became of an unknown one
    """

    name: str
    api: str
    feature: Feature
    queue: Queue
    priority: Priority
    send: Callable[[Client, Asked], Json]
    ask: Callable[[Client, Asked], Answer] | None = None
    already: frozenset[int] = frozenset()
    ask_after: float = 2.0
    in_order: bool = False
    once: bool = False
    planned_anew: bool = False
    identity: str | None = None
    masked: frozenset[str] = frozenset()
    backoff: tuple[float, float] = (2.0, 300.0)
    patience: float = 1.0
    read_timeout: float | None = None
    ask_api: str = ""
    question: tuple[str, str] = QUESTION

    @property
    def asked_at(self) -> str:
        """The path that tells what became of a call."""
        return self.ask_api or self.api


@lru_cache(maxsize=1)
def kinds() -> dict[str, Kind]:
    """Every kind by name."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(folder.__path__):
        kind: Kind = importlib.import_module(f"{folder.__name__}.{module.name}").KIND
        found[kind.name] = kind
    return found


def kind_named(name: str) -> Kind:
    """The kind ``name``; raises KeyError naming the known ones."""
    try:
        return kinds()[name]
    except KeyError:
        raise KeyError(f"no kind of effect is called {name!r}; known are {sorted(kinds())}") from None

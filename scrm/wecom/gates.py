"""Which kinds of a lane may go to WeCom now: nothing is claimed that would only be put off."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.queues import Queue
from scrm.kernel.settings import settings
from scrm.wecom.client import gateway
from scrm.wecom.governor import Governor
from scrm.wecom.limits import Door
from scrm.wecom.limits_table import GETTOKEN
from scrm.wecom.models import Priority
from scrm.wecom.registry import Kind, kinds

Pair = tuple[str, str]
"""Names of an app and of a kind."""


@dataclass(frozen=True)
class Gates:
    """Where nothing is tried, and where one call may try whether WeCom answers again.

    :param shut: pairs not to claim
    :param trying: pairs of which one effect may be claimed
    """

    shut: list[Pair] = field(default_factory=list)
    trying: list[Pair] = field(default_factory=list)

    @property
    def narrow(self) -> list[Pair]:
        """Pairs that are not freely claimed."""
        return [*self.shut, *self.trying]


def gates(queue: Queue) -> tuple[Gates, Gates]:
    """The gates of ``queue``'s kinds for sending and for asking; one question to Redis per app."""
    mine = [kind for kind in kinds().values() if kind.queue == queue]
    sending, asking = Gates(), Gates()
    if not mine:
        return sending, asking
    apis = sorted({GETTOKEN, *(kind.api for kind in mine), *(kind.asked_at for kind in mine)})
    for app in settings().apps:
        governor = gateway().of_app(app).governor
        doors = governor.doors(apis)
        for kind in mine:
            for found, api in ((sending, kind.api), (asking, kind.asked_at)):
                _note(found, governor, (app, kind), (doors[GETTOKEN], doors[api]))
    return sending, asking


def _note(found: Gates, governor: Governor, pair: tuple[str, Kind], doors: tuple[Door, ...]) -> None:
    app, kind = pair
    patience = governor.circuit.patience(Priority(kind.priority))
    if any(door.trying or door.shut_seconds(patience) > 0 for door in doors):
        found.shut.append((app, kind.name))
    elif any(door.open_seconds is not None for door in doors):
        found.trying.append((app, kind.name))

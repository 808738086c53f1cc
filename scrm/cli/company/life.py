"""What the simulated people do, one act after the other, at a bounded rate."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from threading import Event

import requests
import structlog

from scrm.cli.company.people import People
from scrm.cli.exits import Problem
from scrm.cli.story.api import Api
from scrm.cli.story.marketing import Marketing, set_up_marketing, tag_group_members
from scrm.sandbox.control import SandboxControl, SandboxControlError

log = structlog.get_logger(__name__)

LIVELY_SECONDS = 600.0  # a newcomer watches for the first minutes; afterwards five times slower
SLOWER = 5
SAVE_SECONDS = 20.0  # how much of the simulated corp a kill -9 of the sandbox may cost
BROADCAST_EVERY = 6 * 3600.0
FIRST_BROADCAST = 45.0
WEIGHTS = {"scan": 30, "ask": 22, "chat": 16, "join": 12, "staff": 8, "remark": 6, "leave": 3, "delete": 3}


class Life:
    """The loop.

    :param stop: ends it
    :param seconds: pause between two acts
    """

    def __init__(self, api: Api, control: SandboxControl, stop: Event, seconds: float) -> None:
        self.api = api
        self.control = control
        self.stop = stop
        self.seconds = seconds
        self.random = random.Random()
        self.born = time.monotonic()
        self.next_save = self.born + SAVE_SECONDS
        self.next_broadcast = self.born + FIRST_BROADCAST

    def run(self) -> None:
        """Set the shop up, then live; what fails is logged and tried again, the stores may be away."""
        marketing: Marketing | None = None
        while not self.stop.is_set():
            try:
                if marketing is None:
                    marketing = set_up_marketing(self.api)
                    tag_group_members(
                        self.api, marketing, [group["id"] for group in self.api.every("groups")]
                    )
                    people = People(self.control, self.random, marketing)
                self._one_moment(people)
            except (Problem, SandboxControlError, requests.RequestException) as error:
                log.info("the company pauses", error=str(error)[:300])
                self.stop.wait(2)
            self.stop.wait(self._pause())

    def _pause(self) -> float:
        old = time.monotonic() - self.born > LIVELY_SECONDS
        return self.seconds * (SLOWER if old else 1) * self.random.uniform(0.5, 1.5)

    def _one_moment(self, people: People) -> None:
        now = time.monotonic()
        if now >= self.next_broadcast:
            self.next_broadcast = now + BROADCAST_EVERY
            self._broadcast()
        if now >= self.next_save:
            self.next_save = now + SAVE_SECONDS
            self.control.snapshot()
        people.act(self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])

    def _broadcast(self) -> None:
        """A scheduled broadcast to all groups, a few seconds ahead; members confirm by themselves."""
        at = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
        name = f"群公告 {at[:16]}"
        audience = {"all": True}
        self.api.post(
            "broadcasts", name=name, kind="groups", text="本周活动已更新。", audience=audience, send_at=at
        )

"""Decides which apps hear of an event, and hands each its own callback (wecom-api.md §3, §10.1 no. 4)."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from scrm.sandbox.callbacks.bodies import Envelope
from scrm.sandbox.callbacks.delivery import DROPPED, Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrm.sandbox.callbacks.faults import CallbackFaults
    from scrm.sandbox.callbacks.sender import Sender
    from scrm.sandbox.model.world import App, World

CONTACT = "externalcontact"


class Outbox:
    """Keeps every delivery record; call `emit` with the world's lock held."""

    def __init__(self, world: World, sender: Sender, faults: CallbackFaults) -> None:
        """Nothing is sent before the first emit."""
        self._world = world
        self._sender = sender
        self._faults = faults
        self._ids = count(1)
        self.records: dict[int, Delivery] = {}
        self.captured: list[Delivery] | None = None

    def envelope(self, sender: str | None = "sys") -> Envelope:
        """The common fields of a body made now."""
        return Envelope(self._world.config.corp_id, self._world.clock.told(), sender)

    def apps(self, feature: str, userids: Iterable[str] = (), only: str | None = None) -> list[App]:
        """Apps with a callback URL and the feature that see at least one of `userids` (none: no matter)."""
        people = list(userids)
        return [
            app
            for app in self._world.apps.values()
            if app.callback_url
            and feature in app.config.features
            and (only is None or app.config.name == only)
            and (not people or any(app.sees(person) for person in people))
        ]

    def emit(
        self, event: str, change_type: str, apps: Iterable[App], body: Callable[[App], str]
    ) -> list[Delivery]:
        """Make one delivery per app; `body` returns the finished plaintext for that app."""
        made = [self._record(event, change_type, app, body(app)) for app in apps]
        for delivery in made:
            if self.captured is not None:
                self.captured.append(delivery)
            else:
                self.dispatch(delivery)
        return made

    def event(
        self,
        event: str,
        change_type: str,
        rest: str,
        feature: str = CONTACT,
        userids: Iterable[str] = (),
        sender: str | None = "sys",
    ) -> list[Delivery]:
        """Emit a body that is the same for every eligible app."""
        plaintext = self.envelope(sender).event(event, rest)
        return self.emit(event, change_type, self.apps(feature, userids), lambda _: plaintext)

    def dispatch(self, delivery: Delivery) -> None:
        """Send through the callback faults: a delivery may be dropped, delayed, doubled or held back."""
        for item, delay in self._faults.apply(delivery):
            if item.status == DROPPED:
                continue
            self._sender.submit(item, delay)

    def _record(self, event: str, change_type: str, app: App, plaintext: str) -> Delivery:
        delivery = Delivery(
            id=next(self._ids),
            app=app.config,
            url=app.callback_url or "",
            event=event,
            change_type=change_type,
            created=self._world.clock.now(),
            plaintext=plaintext,
        )
        self.records[delivery.id] = delivery
        if len(self.records) > self._world.limits.log_keep:
            del self.records[next(iter(self.records))]
        return delivery

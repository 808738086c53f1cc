"""The whole simulated corp: one object, one lock."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrm.sandbox.clock import Clock
from scrm.sandbox.errors import ControlError
from scrm.sandbox.ids import Ids
from scrm.sandbox.model.acquisition import Acquisition, Quota
from scrm.sandbox.model.activity import Activity
from scrm.sandbox.model.bulk import BulkCorp, Customers
from scrm.sandbox.model.kf import KfState
from scrm.sandbox.model.people import Customer, Department, Follow, Member, MemberTag
from scrm.sandbox.model.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrm.sandbox.config import AppConfig, SandboxConfig
    from scrm.sandbox.limits_config import Limits
    from scrm.sandbox.model.group_entry import JoinWay, WelcomeTemplate
    from scrm.sandbox.model.groups import Group
    from scrm.sandbox.model.mass_send import MassSend
    from scrm.sandbox.model.media import Media, UploadJob
    from scrm.sandbox.model.tags import ContactWay, Tag, TagGroup, WelcomeCode, WelcomeRound


QUOTA_LIFE = 365 * 86_400  # of the acquisition quota a corp begins with


@dataclass(slots=True, eq=False)
class App:
    """An app while the sandbox runs: its configuration, where it is called back, its current token."""

    config: AppConfig
    callback_url: str | None
    token: str | None = None
    expires: float = 0.0

    def sees(self, userid: str) -> bool:
        """Whether the member is in the app's visible range (§1.5)."""
        return self.config.visible is None or userid in self.config.visible


@dataclass(slots=True, eq=False)
class World:
    """State of the corp. Hold `lock` for every read or write; nothing here does network work."""

    config: SandboxConfig
    clock: Clock
    ids: Ids
    rng: random.Random
    limits: Limits
    apps: dict[str, App]
    lock: threading.RLock = field(default_factory=threading.RLock)
    tokens: dict[str, tuple[App, float]] = field(default_factory=dict)
    ip_bans: dict[str, float] = field(default_factory=dict)
    departments: dict[int, Department] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    member_tags: dict[int, MemberTag] = field(default_factory=dict)
    archive_told: float = 0.0  # when msgaudit_notify was last sent
    left: dict[str, Member] = field(default_factory=dict)  # resigned, with the customers nobody took over
    customers: dict[str, Customer] = field(default_factory=dict)
    by_unionid: dict[str, Customer] = field(default_factory=dict)
    tag_groups: dict[str, TagGroup] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    contact_ways: dict[str, ContactWay] = field(default_factory=dict)
    join_ways: dict[str, JoinWay] = field(default_factory=dict)
    welcome_templates: dict[str, WelcomeTemplate] = field(default_factory=dict)
    welcome_codes: dict[str, WelcomeCode] = field(default_factory=dict)
    welcome_rounds: dict[tuple[str, str], WelcomeRound] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    mass_sends: dict[str, MassSend] = field(default_factory=dict)
    received: dict[str, deque[float]] = field(default_factory=dict)
    media: dict[str, Media] = field(default_factory=dict)
    upload_jobs: dict[str, UploadJob] = field(default_factory=dict)
    images: dict[str, float] = field(default_factory=dict)
    app_messages: list[dict[str, Any]] = field(default_factory=list)
    message_digests: dict[str, float] = field(default_factory=dict)
    kf: KfState = field(default_factory=KfState)
    activity: Activity = field(default_factory=Activity)
    bulk: BulkCorp | None = None
    bulk_rows: object = None  # what the API has prepared for it
    failing: dict[str, int] = field(default_factory=dict)  # errcode of every call about a member
    transfers: Transfers = field(default_factory=Transfers)
    acquisition: Acquisition = field(default_factory=Acquisition)

    @classmethod
    def create(cls, config: SandboxConfig) -> World:
        """An empty corp: the root department and the configured apps."""
        world = cls(
            config=config,
            clock=Clock(config.clock_start),
            ids=Ids(config.seed),
            rng=random.Random(config.seed),
            limits=config.limits,
            apps={item.name: App(item, item.callback_url) for item in config.apps},
        )
        world.departments[1] = Department(1, "Sandbox Trading", 0, 100_000_000)
        bought = config.limits.acquisition_quota
        world.acquisition.quotas = [Quota(world.clock.seconds() + QUOTA_LIFE, bought, bought)]
        return world

    def follow(self, userid: str, external_userid: str) -> Follow | None:
        """The relation between these two, half ones too, or None."""
        member = self.members.get(userid)
        return member.follows.get(external_userid) if member else None

    def subtree(self, departments: Iterable[int]) -> set[int]:
        """These departments and everything below them."""
        children: dict[int, list[int]] = {}
        for item in self.departments.values():
            children.setdefault(item.parentid, []).append(item.id)
        found: set[int] = set()
        waiting = list(departments)
        while waiting:
            department = waiting.pop()
            if department not in found:
                found.add(department)
                waiting += children.get(department, [])
        return found

    def look(self, external_userid: str) -> Customer | None:
        """A customer for reading; a computed one is not stored for it."""
        if isinstance(self.customers, Customers):
            return self.customers.look(external_userid)
        return self.customers.get(external_userid)

    def member(self, userid: str) -> Member:
        """A member for a control call; ControlError 404 when there is none."""
        found = self.members.get(userid)
        if found is None:
            raise ControlError(f"there is no member {userid!r}", 404)
        return found

    def customer(self, external_userid: str) -> Customer:
        """A customer for a control call; ControlError 404 when there is none."""
        found = self.customers.get(external_userid)
        if found is None:
            raise ControlError(f"there is no customer {external_userid!r}", 404)
        return found

    def app(self, name: str) -> App:
        """An app for a control call; ControlError 404 when there is none."""
        found = self.apps.get(name)
        if found is None:
            raise ControlError(f"there is no app {name!r}", 404)
        return found

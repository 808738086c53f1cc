"""A seeded mixture of what people do, for streams of traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.errors import ControlError
from scrm.sandbox.people import app_messages, bulk_life, contacts, group_life, kf_life
from scrm.sandbox.people.contacts import FULL, Arrival, Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.callbacks.delivery import Delivery
    from scrm.sandbox.model.people import Follow
    from scrm.sandbox.runtime import Sandbox

DEFAULT_MIX = {
    "add": 4,
    "edit": 3,
    "delete_follow": 1,
    "group_join": 2,
    "group_leave": 1,
    "app_message": 2,
    "kf_chat": 2,
}
WORDS = ("价格多少", "有优惠吗", "你好", "怎么预约", "发货了吗", "谢谢", "会员怎么办理")


class Mixture:
    """Draws one action after another; call `act` with the world's lock held."""

    def __init__(self, sandbox: Sandbox, mix: dict[str, float]) -> None:
        """ControlError on an unknown kind, or when the corp is too empty to act."""
        for kind in mix:
            if kind not in ACTIONS:
                raise ControlError(f"mix: unknown kind {kind!r}; known: {', '.join(ACTIONS)}")
        if not mix or sum(mix.values()) <= 0:
            raise ControlError("mix must have at least one kind with a weight above 0")
        if not sandbox.world.members:
            raise ControlError("build a population first", 409)
        self._sandbox = sandbox
        self._kinds, self._weights = list(mix), list(mix.values())
        self._members = [item for item in sandbox.world.members.values() if item.contact_feature]
        self._groups = [item.chat_id for item in sandbox.world.groups.values() if not item.dismissed]
        self._ways = list(sandbox.world.contact_ways.values())

    def act(self) -> list[Delivery]:
        """One person does one thing; an action that is not possible now becomes an add."""
        kind = self._sandbox.world.rng.choices(self._kinds, self._weights)[0]
        return ACTIONS[kind](self) or (self.add() if kind != "add" else [])

    def add(self) -> list[Delivery]:
        """Somebody new adds a member directly."""
        member = self._sandbox.world.rng.choice(self._members)
        return self._records(contacts.add(self._sandbox, Person(), Arrival(member.userid, FULL)))

    def scan(self) -> list[Delivery]:
        """Somebody new scans one of the contact ways."""
        if not self._ways:
            return []
        way = self._sandbox.world.rng.choice(self._ways)
        return self._records(contacts.scan(self._sandbox, way, Person(), None, contacts.NEVER))

    def edit(self) -> list[Delivery]:
        """A member edits a remark and a tag."""
        follow = self._follow()
        if follow is None:
            return []
        world = self._sandbox.world
        changes: dict[str, Any] = {"remark": f"{follow.remark[:14]}{world.rng.randint(0, 99)}"}
        if world.tags:
            changes["add_tags"] = [world.rng.choice(list(world.tags))]
        return contacts.edit(self._sandbox, follow.userid, follow.external_userid, changes)

    def delete_follow(self) -> list[Delivery]:
        """A customer deletes a member."""
        follow = self._follow()
        if follow is None or follow.deleted_by_customer:
            return []
        return contacts.customer_deletes(self._sandbox, follow.userid, follow.external_userid)

    def delete_contact(self) -> list[Delivery]:
        """A member deletes a customer."""
        follow = self._follow()
        if follow is None:
            return []
        return contacts.member_deletes(self._sandbox, follow.userid, follow.external_userid)

    def group_join(self) -> list[Delivery]:
        """A customer scans a group code."""
        follow = self._follow()
        if follow is None or not self._groups:
            return []
        chat_id = self._sandbox.world.rng.choice(self._groups)
        if follow.external_userid in self._sandbox.world.groups[chat_id].members:
            return []
        return group_life.join(self._sandbox, chat_id, [follow.external_userid], 3, None, None)

    def group_leave(self) -> list[Delivery]:
        """Somebody leaves a group."""
        if not self._groups:
            return []
        group = self._sandbox.world.groups[self._sandbox.world.rng.choice(self._groups)]
        people = [userid for userid in group.members if userid != group.owner]
        if not people:
            return []
        person = self._sandbox.world.rng.choice(people)
        return group_life.leave(self._sandbox, group.chat_id, [person], removed=False)

    def app_message(self) -> list[Delivery]:
        """A member writes to the first app."""
        world = self._sandbox.world
        member = world.rng.choice(self._members)
        values = {"Content": world.rng.choice(WORDS)}
        return app_messages.member_writes(
            self._sandbox, next(iter(world.apps)), member.userid, "text", values
        )

    def kf_chat(self) -> list[Delivery]:
        """A customer writes to a kf account."""
        follow = self._follow()
        world = self._sandbox.world
        if follow is None or not world.kf.accounts:
            return []
        account = world.rng.choice(list(world.kf.accounts.values()))
        message = {"msgtype": "text", "text": {"content": world.rng.choice(WORDS)}}
        return kf_life.customer_writes(self._sandbox, account, follow.external_userid, [message])

    def _follow(self) -> Follow | None:
        rng = self._sandbox.world.rng
        member = rng.choice(self._members)
        customers = member.customers()
        computed = bulk_life.some_follow(self._sandbox.world, member.userid)
        return computed or (rng.choice(customers) if customers else None)

    def _records(self, told: dict[str, Any]) -> list[Delivery]:
        return [self._sandbox.outbox.records[item] for item in told["callbacks"]]


ACTIONS: dict[str, Callable[[Mixture], list[Delivery]]] = {
    "add": Mixture.add,
    "scan": Mixture.scan,
    "edit": Mixture.edit,
    "delete_follow": Mixture.delete_follow,
    "delete_contact": Mixture.delete_contact,
    "group_join": Mixture.group_join,
    "group_leave": Mixture.group_leave,
    "app_message": Mixture.app_message,
    "kf_chat": Mixture.kf_chat,
}

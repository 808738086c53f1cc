"""A corp of a million customers of which nothing is stored: every relation is computed from its number.

A number is `member index << 20 | index of the customer with that member`. A relation is a number and whether it
is the member's own or that of the next member, who also follows a share of the customers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrm.sandbox.model.groups import Group, GroupMember
from scrm.sandbox.model.people import Customer, Follow, Member

if TYPE_CHECKING:
    from collections.abc import Iterator

BITS = 20
STRIDE = 1 << BITS
MASK = (1 << 64) - 1
GOLDEN, AVALANCHE = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
SCALE = 1 << 24
CHOICES = 64  # how many different combinations of tags and of states there are
OWN, SECOND = 0, 1
SHARED_SALT = 0x5CA1AB1E
PREFIX, GROUP_PREFIX = "wm", "wr"
ID_LENGTH = 32
DAY = 86_400


@dataclass(slots=True, eq=False)
class Alteration:
    """A share of the relations that are different from now on: `what` = remark, name, tags or gone."""

    what: str
    salt: int
    threshold: int


@dataclass(slots=True, eq=False)
class Relation:
    """One computed relation."""

    follow: Follow
    name: str
    gender: int

    def customer(self) -> Customer:
        """The customer as an object of their own, with nobody following yet."""
        who = self.follow.external_userid
        return Customer(who, self.name, self.gender, given_unionid=f"oU{who[2:28]}")


@dataclass(slots=True, eq=False)
class BulkCorp:
    """How the customers are computed. `taken` = numbers that have become ordinary, stored customers."""

    seed: int
    userids: tuple[str, ...]
    per_member: int
    born: int
    names: tuple[str, ...]
    tag_choices: list[tuple[str, ...]]
    state_choices: list[str | None]
    ways: tuple[int, ...]
    shared: int  # out of SCALE: customers the next member follows too
    groups_per_member: int
    group_size: int
    index: dict[str, int]
    spare_tag: tuple[str, ...]  # what relations without tags get when their tags are altered
    version: int = 0
    taken: set[int] = field(default_factory=set)
    taken_groups: set[int] = field(default_factory=set)
    alterations: list[Alteration] = field(default_factory=list)
    gone_groups: list[Alteration] = field(default_factory=list)
    renamed_groups: list[Alteration] = field(default_factory=list)

    def mix(self, number: int) -> int:
        """64 bits that look random and depend on the number and the seed alone."""
        mixed = (number * GOLDEN + self.seed) & MASK
        return ((mixed ^ (mixed >> 32)) * AVALANCHE) & MASK

    def customer_id(self, number: int) -> str:
        """The external_userid."""
        return f"{PREFIX}{self.mix(number):016x}{number:014x}"

    def number_of(self, external_userid: str) -> int | None:
        """The number behind an id, None for an id that is none of ours."""
        number = self._decoded(external_userid, PREFIX)
        if number is None or number & (STRIDE - 1) >= self.per_member:
            return None
        return number if number >> BITS < len(self.userids) else None

    def is_shared(self, number: int) -> bool:
        """Whether the next member follows this customer too."""
        if not self.shared:
            return False
        return hits(number, SHARED_SALT, self.shared)

    def is_gone(self, number: int, kind: int) -> bool:
        """Whether the relation was dropped."""
        relation = number << 1 | kind
        return any(
            item.what == "gone" and hits(relation, item.salt, item.threshold) for item in self.alterations
        )

    def relations(self, number: int) -> list[Relation]:
        """Everybody who follows this customer; empty when they were all dropped."""
        found = [] if self.is_gone(number, OWN) else [self.relation(number, OWN)]
        if self.is_shared(number) and not self.is_gone(number, SECOND):
            found.append(self.relation(number, SECOND))
        return found

    def relation(self, number: int, kind: int) -> Relation:
        """The relation in full."""
        mixed = self.mix(number)
        own, relation = number >> BITS, number << 1 | kind
        name = self.names[(mixed >> 8) % len(self.names)]
        marks = [item.what for item in self.alterations if hits(relation, item.salt, item.threshold)]
        created = self.born - (mixed >> 20) % (180 * DAY)
        tags = self.tag_choices[(mixed >> 40) % CHOICES] if kind == OWN else ()
        if marks.count("tags") % 2:
            tags = () if tags else self.spare_tag
        follow = Follow(
            userid=self.userids[own] if kind == OWN else self.next_userid(own),
            external_userid=self.customer_id(number),
            createtime=created if kind == OWN else created + DAY,
            add_way=self.ways[(mixed >> 50) % len(self.ways)] if kind == OWN else 201,
            state=self.state_choices[(mixed >> 46) % CHOICES] if kind == OWN else None,
            remark=name + "·" * marks.count("remark"),
            tags=tags,
            oper_userid=self.customer_id(number) if kind == OWN else self.userids[own],
            last_chat=float(created),
        )
        return Relation(follow, name + "2" * self._renamed(number), int(mixed % 3))

    def next_userid(self, index: int) -> str:
        """Who follows the shared customers of the member at `index`."""
        return self.userids[(index + 1) % len(self.userids)]

    def rename(self, old: str, new: str) -> None:
        """A member got another userid."""
        place = self.index.pop(old)
        self.index[new] = place
        self.userids = (*self.userids[:place], new, *self.userids[place + 1 :])
        self.version += 1

    def computed(self) -> int:
        """How many customers are computed, those with nobody left included."""
        return len(self.userids) * self.per_member - len(self.taken)

    def numbers(self) -> Iterator[tuple[int, int]]:
        """Every relation there would be without drops: (number, OWN or SECOND)."""
        for own in range(len(self.userids)):
            for number in range(own << BITS, (own << BITS) + self.per_member):
                if number in self.taken:
                    continue
                yield number, OWN
                if self.is_shared(number):
                    yield number, SECOND

    def group_id(self, number: int) -> str:
        """The chat_id of a group, numbered like customers."""
        return f"{GROUP_PREFIX}{self.mix(~number & MASK):016x}{number:014x}"

    def group_numbers(self) -> Iterator[int]:
        """Every group that is still there and computed."""
        for own in range(len(self.userids)):
            for number in range(own << BITS, (own << BITS) + self.groups_per_member):
                if self._has_group(number):
                    yield number

    def group(self, chat_id: str) -> Group | None:
        """The group behind a chat_id, computed; None for one that is none of ours or is stored already."""
        number = self._decoded(chat_id, GROUP_PREFIX)
        if number is None or number >> BITS >= len(self.userids) or not self._has_group(number):
            return None
        own, mixed = number >> BITS, self.mix(~number & MASK)
        renamed = sum(1 for item in self.renamed_groups if hits(number, item.salt, item.threshold))
        owner, created = self.userids[own], self.born - mixed % (180 * DAY)
        group = Group(
            chat_id, f"group {number & (STRIDE - 1)}" + "·" * renamed, owner, created, f"{mixed:032x}"
        )
        group.members[owner] = GroupMember(owner, 1, created)
        first = (number & (STRIDE - 1)) * self.group_size
        for place in range(min(self.group_size, self.per_member)):
            who = self.customer_id(own << BITS | (first + place) % self.per_member)
            group.members[who] = GroupMember(who, 2, created + 60, invitor=owner)
        return group

    def _has_group(self, number: int) -> bool:
        if number in self.taken_groups or number & (STRIDE - 1) >= self.groups_per_member:
            return False
        return not any(hits(number, item.salt, item.threshold) for item in self.gone_groups)

    def forget_tags(self, gone: set[str]) -> None:
        """Deleted tags disappear from everybody."""
        self.version += 1
        self.spare_tag = tuple(tag for tag in self.spare_tag if tag not in gone)
        self.tag_choices = [tuple(tag for tag in item if tag not in gone) for item in self.tag_choices]

    def _renamed(self, number: int) -> int:
        """How often the customer's own name was changed; the same for all who follow them."""
        return sum(
            1
            for item in self.alterations
            if item.what == "name" and hits(number << 1, item.salt, item.threshold)
        )

    def _decoded(self, given: str, prefix: str) -> int | None:
        if len(given) != ID_LENGTH or not given.startswith(prefix):
            return None
        try:
            number = int(given[18:], 16)
        except ValueError:
            return None
        wanted = self.mix(number) if prefix == PREFIX else self.mix(~number & MASK)
        return number if given == f"{prefix}{wanted:016x}{number:014x}" else None


class Customers(dict[str, Customer]):
    """The corp's customers; a computed one becomes an ordinary one as soon as somebody asks for it to act on."""

    def __init__(self, stored: dict[str, Customer], bulk: BulkCorp, members: dict[str, Member]) -> None:
        """Take over what is stored already."""
        super().__init__(stored)
        self._bulk = bulk
        self._members = members

    def __missing__(self, external_userid: str) -> Customer:
        found = self._store(external_userid)
        if found is None:
            raise KeyError(external_userid)
        return found

    def __contains__(self, external_userid: object) -> bool:
        if super().__contains__(external_userid):
            return True
        return isinstance(external_userid, str) and self._store(external_userid) is not None

    def get(self, external_userid: str, default: Customer | None = None) -> Customer | None:  # type: ignore[override]
        """The customer, stored from now on; `default` when there is none."""
        stored = super().get(external_userid)
        if stored is None:
            stored = self._store(external_userid)
        return default if stored is None else stored

    def look(self, external_userid: str) -> Customer | None:
        """The customer for reading only; a computed one stays computed."""
        stored = super().get(external_userid)
        return stored if stored is not None else self._computed(external_userid)

    def _computed(self, external_userid: str) -> Customer | None:
        number = self._bulk.number_of(external_userid)
        if number is None or number in self._bulk.taken:
            return None
        customer = self._bulk.relation(number, OWN).customer()
        customer.follows = [item.follow for item in self._bulk.relations(number)]
        return customer

    def _store(self, external_userid: str) -> Customer | None:
        customer = self._computed(external_userid)
        if customer is None:
            return None
        self[external_userid] = customer
        self._bulk.taken.add(int(external_userid[18:], 16))
        for follow in list(customer.follows):
            member = self._members.get(follow.userid)
            if member is None:
                customer.follows.remove(follow)
            else:
                member.add(follow)
        return customer


def hits(number: int, salt: int, threshold: int) -> bool:
    """Whether a share of all numbers, threshold out of SCALE, contains this one."""
    mixed = (number * GOLDEN + salt * AVALANCHE) & MASK
    mixed = ((mixed ^ (mixed >> 32)) * AVALANCHE) & MASK
    return mixed >> 40 < threshold


def salt_of(*parts: object) -> int:
    """A 64-bit salt from anything that has a text."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest())

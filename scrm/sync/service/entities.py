"""Every entity of a sync: how it is read, what follows from it, how it is compared and written, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.settings import Feature
from scrm.sync.models import SyncPart, SyncRun
from scrm.sync.service import following
from scrm.sync.service.applying import customers, groups, kf, staff, tags, ways
from scrm.sync.service.applying.done import Done
from scrm.sync.service.pages import NewPart, Reader
from scrm.sync.service.reading import customers as read_customers
from scrm.sync.service.reading import groups as read_groups
from scrm.sync.service.reading import kf as read_kf
from scrm.sync.service.reading import staff as read_staff
from scrm.sync.service.reading import tags as read_tags
from scrm.sync.service.reading import ways as read_ways

Step = Callable[[SyncRun, SyncPart], Done]
Close = Callable[[SyncRun, SyncPart, list[Any]], Done]


def _nothing(run: SyncRun, part: SyncPart) -> Done:
    return Done()


def _nobody(run: SyncRun, part: SyncPart) -> list[NewPart]:
    return []


@dataclass(frozen=True)
class Entity:
    """What a part of this kind is and does.

    :param read: its next page, in a thread
    :param stage: parts of a lower stage are applied first
    :param follow: further parts, once it is read to its end
    :param compare: notes what is missing, when everything is read
    :param apply: writes what is new or differs, in slices
    """

    read: Reader
    stage: int
    feature: Feature = "externalcontact"
    follow: Callable[[SyncRun, SyncPart], list[NewPart]] = _nobody
    compare: Step = _nothing
    apply: Step = _nothing


ENTITIES: Mapping[str, Entity] = {
    "departments": Entity(
        read_staff.read_departments, 0, "contacts",
        following.of_departments, staff.compare_departments, staff.apply_tree,
    ),
    "members": Entity(read_staff.read_members, 1, "contacts", apply=staff.apply_people),
    "member_ids": Entity(read_staff.read_member_ids, 1, "contacts", apply=staff.apply_people),
    "follow_users": Entity(
        read_staff.read_follow_users, 2,
        follow=following.of_follow_users, compare=staff.compare_follow_users, apply=staff.apply_follow_users,
    ),
    "tags": Entity(read_tags.read_tags, 3, compare=tags.compare, apply=tags.apply),
    "customers": Entity(
        read_customers.read_customers, 4, compare=customers.compare, apply=customers.apply
    ),
    "customer_ids": Entity(read_customers.read_customer_ids, 4, compare=customers.compare_again),
    "group_list": Entity(
        read_groups.read_group_list, 5, follow=following.of_group_list, compare=groups.compare_list
    ),
    "groups": Entity(read_groups.read_groups, 5, compare=groups.compare, apply=groups.apply),
    "missing_groups": Entity(read_groups.read_missing_groups, 5, compare=groups.compare_again),
    "contact_way_list": Entity(read_ways.read_way_list, 6, follow=following.of_way_list),
    "contact_ways": Entity(read_ways.read_contact_ways, 6, compare=ways.compare, apply=ways.apply),
    "join_ways": Entity(read_ways.read_join_ways, 6, compare=ways.compare, apply=ways.apply),
    "group_templates": Entity(read_ways.read_templates, 6, compare=ways.compare, apply=ways.apply),
    "kf_accounts": Entity(
        read_kf.read_accounts, 6, "kf", following.of_accounts, kf.compare, kf.apply
    ),
    "kf_servicers": Entity(read_kf.read_servicers, 7, "kf", apply=kf.apply_servicers),
}  # fmt: skip

UNCOMPARED = [name for name, entity in ENTITIES.items() if entity.compare is _nothing]
UNAPPLIED = [name for name, entity in ENTITIES.items() if entity.apply is _nothing]
STAGES = {name: entity.stage for name, entity in ENTITIES.items()}


CLOSINGS: Mapping[str, Close] = {
    "departments": staff.close_departments,
    "members": staff.close_members,
    "follow_users": staff.close_follow_users,
    "tags": tags.close,
    "follows": customers.close_relations,
    "customer_tags": customers.close_tags,
    "groups": groups.close,
    "contact_ways": ways.close,
    "join_ways": ways.close,
    "group_templates": ways.close,
    "kf_accounts": kf.close,
}
"""How rows that are gone are ended, by entity."""
NAMED_BY_KEY = frozenset({"contact_ways", "join_ways", "group_templates"})
"""Entities whose closing takes WeCom's ids, because their packages do."""

"""groupchat/statistic: how owners' groups grow and talk (wecom-api.md §4.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.api.fields import EMPTY, integer, invalid, or_default, record, strings
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import scoped_member
from scrm.sandbox.api.statistics_days import days
from scrm.sandbox.errors import WecomError
from scrm.sandbox.people.natural_days import day_of, day_start

if TYPE_CHECKING:
    from scrm.sandbox.model.groups import Group

OWNERS, PAGE, PAGE_MAX = 100, 500, 1_000
ORDERS = {1: "new_chat_cnt", 2: "chat_total", 3: "new_member_cnt", 4: "member_total"}


@api("externalcontact/groupchat/statistic")
def statistic(call: Call) -> Json:
    """One row per owner over the whole span, sorted and in pages."""
    body, owners, span = call.body, _owners(call), _past_days(call)
    order = ORDERS[integer(body, "order_by", 1, tuple(ORDERS))]
    ascending = integer(body, "order_asc", 0, (0, 1)) == 1
    offset, limit = integer(body, "offset"), or_default(integer(body, "limit", PAGE), PAGE, PAGE_MAX)
    if offset < 0:
        raise invalid("offset", "must not be negative")
    rows: list[Json] = [
        {"owner": owner, "data": _data(call, _groups(call, [owner]), span)} for owner in owners
    ]
    rows.sort(key=lambda row: row["data"][order], reverse=not ascending)
    page = rows[offset : offset + limit]
    return {"total": len(rows), "next_offset": offset + len(page), "items": page}


@api("externalcontact/groupchat/statistic_group_by_day")
def statistic_group_by_day(call: Call) -> Json:
    """One row per day over all named owners."""
    groups, span = _groups(call, _owners(call)), _past_days(call)
    return {
        "items": [
            {"stat_time": day_start(day), "data": _data(call, groups, range(day, day + 1))} for day in span
        ]
    }


def _owners(call: Call) -> list[str]:
    owners = strings(record(call.body, "owner_filter") or {}, "userid_list", OWNERS)
    if not owners:
        raise WecomError(EMPTY, "missing owner_filter")
    for owner in owners:
        scoped_member(call, owner)
    return list(dict.fromkeys(owners))


def _past_days(call: Call) -> range:
    span = days(call, "day_begin_time", "day_end_time")
    if span[-1] >= day_of(call.world.clock.now()):
        raise invalid("day_end_time", "may be yesterday at latest")
    return span


def _groups(call: Call, owners: list[str]) -> list[Group]:
    return [group for group in call.world.groups.values() if group.owner in owners and not group.dismissed]


def _data(call: Call, groups: list[Group], span: range) -> Json:
    """New things within the days, totals at the end of the last one."""
    activity, last = call.world.activity.groups, span[-1]
    there = [group for group in groups if day_of(group.create_time) <= last]
    joined = [day_of(item.join_time) for group in there for item in group.members.values()]
    talks = [
        activity[group.chat_id, day] for group in there for day in span if (group.chat_id, day) in activity
    ]
    talking = {group.chat_id for group in there if any((group.chat_id, day) in activity for day in span)}
    return {
        "new_chat_cnt": sum(1 for group in there if day_of(group.create_time) in span),
        "chat_total": len(there),
        "chat_has_msg": len(talking),
        "new_member_cnt": sum(1 for day in joined if day in span),
        "member_total": sum(1 for day in joined if day <= last),
        "member_has_msg": len({who for counter in talks for who in counter}),
        "msg_total": sum(counter.total() for counter in talks),
        "migrate_trainee_chat_cnt": 0,
    }

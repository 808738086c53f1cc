"""Customers with a relation to a member: a present one, or one that ended, begun in a certain way at a certain time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Range
from sqlalchemy import BigInteger, ColumnElement, Select, Text, column, exists, or_, select, table

from scrm.customers.models import Customer, Follow
from scrm.kernel.schemas import Schema
from scrm.staff.models import StaffDepartment
from tags.rules.fields import ADD_WAYS
from tags.rules.leaf_values import follow_value
from tags.rules.leaves import MAX_ID, MAX_IDS, Args, Language, Leaf, Names, ids_field, listed, reads_always
from tags.rules.relations import STATES, added_at, departments_below, ended_at
from tags.rules.windows import WindowField, leaving, window_words, within

# By name: they belong to packages further down the data's way, which this one must not import.
CODES = table("channel_codes", column("id", BigInteger), column("state", Text))
ARRIVALS = table("link_arrivals", column("acquisition_link_id", BigInteger), column("follow_id", BigInteger))
STATE_WORDS = {
    "present": ("添加了我方成员", "is followed"),
    "active": ("与成员互为好友", "is followed by mutual consent"),
    "half": ("已添加、成员尚未通过", "was added one-sidedly"),
    "lost": ("关系已结束", "is no longer followed"),
    "deleted_by_staff": ("被成员删除", "was deleted by a member"),
    "deleted_by_customer": ("删除了成员", "deleted a member"),
}
PRESENT = ("present", "active", "half")


class FollowArgs(Schema):
    """Arguments: what all holds of one relation; without any: there is a present one."""

    state = fields.String(load_default="present", validate=OneOf(sorted(STATES)))
    staff_ids = ids_field(load_default=None)
    department_ids = ids_field(
        load_default=None, metadata={"description": "members of these departments or of those below them"}
    )
    channel_code_ids = ids_field(load_default=None)
    acquisition_link_ids = ids_field(load_default=None)
    add_ways = fields.List(
        fields.Integer(strict=True, validate=Range(0, MAX_ID)), validate=Length(1, MAX_IDS), load_default=None
    )
    added = WindowField(load_default=None)
    ended = WindowField(load_default=None, metadata={"description": "when it was deleted"})

    @validates_schema(skip_on_field_errors=True)
    def _ended_or_not(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["ended"] and data["state"] in PRESENT:
            ways = ", ".join(sorted(set(STATES) - set(PRESENT)))
            raise ValidationError(f"goes with a state that says who ended it: {ways}", "ended")


def _clauses(args: Args) -> list[Any]:
    """What does not depend on the time."""
    found: list[Any] = [Follow.status.in_(STATES[args["state"]])]
    if args["staff_ids"]:
        found.append(Follow.staff_id.in_(args["staff_ids"]))
    if args["department_ids"]:
        members = select(StaffDepartment.staff_id)
        below = departments_below(args["department_ids"])
        found.append(Follow.staff_id.in_(members.where(StaffDepartment.department_id.in_(below))))
    if args["channel_code_ids"]:
        states = select(CODES.c.state).where(CODES.c.id.in_(args["channel_code_ids"]))
        found.append(Follow.state.in_(states))
    if args["acquisition_link_ids"]:
        came = ARRIVALS.c.acquisition_link_id.in_(args["acquisition_link_ids"])
        found.append(Follow.id.in_(select(ARRIVALS.c.follow_id).where(came)))
    if args["add_ways"]:
        found.append(Follow.add_way.in_(args["add_ways"]))
    return found


def _timed(args: Args, now: datetime) -> list[Any]:
    clauses = _clauses(args)
    if args["added"]:
        clauses.append(within(added_at(), args["added"], now))
    if args["ended"]:
        clauses.append(within(ended_at(), args["ended"], now))
    return clauses


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    return exists().where(Follow.customer_id == Customer.id, *_timed(args, now)).correlate(Customer)


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    return Customer.id.in_(select(Follow.customer_id).where(*_timed(args, now)))


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    edges = [
        leaving(added_at(), args["added"], since, until),
        leaving(ended_at(), args["ended"], since, until),
    ]
    crossed = [edge for edge in edges if edge is not None]
    return select(Follow.customer_id).where(or_(*crossed), *_clauses(args)) if crossed else None


def _words(args: Args, language: Language, names: Names) -> str:
    zh = language == "zh"
    parts = [
        (window_words(args["added"], language), "{}添加", "added {}"),
        (window_words(args["ended"], language), "{}结束", "ended {}"),
        (listed(args["staff_ids"] or (), "staff", names, language), "成员{}", "by {}"),
        (listed(args["department_ids"] or (), "departments", names, language), "部门{}（含下级）", "by members of {} and below"),
        (listed(args["channel_code_ids"] or (), "channel_codes", names, language), "通过渠道活码{}", "through channel code {}"),
        (listed(args["acquisition_link_ids"] or (), "acquisition_links", names, language), "通过获客链接{}", "through acquisition link {}"),
        (_ways(args["add_ways"] or (), zh), "添加方式为{}", "by way of {}"),
    ]  # fmt: skip
    told = [(chinese if zh else english).format(value) for value, chinese, english in parts if value]
    state = STATE_WORDS[args["state"]][0 if zh else 1]
    if zh:
        return state + (f"（{'，'.join(told)}）" if told else "")
    return state + (f": {', '.join(told)}" if told else "")


def _ways(ways: Any, zh: bool) -> str:
    told = [ADD_WAYS[way][0 if zh else 1] if way in ADD_WAYS else f"#{way}" for way in ways]
    return "、".join(told) if zh else " or ".join(told)


LEAF = Leaf(
    kind="follow",
    schema=FollowArgs,
    reads=reads_always("follows"),
    clause=_clause,
    words=_words,
    refers={
        "staff_ids": "staff",
        "department_ids": "departments",
        "channel_code_ids": "channel_codes",
        "acquisition_link_ids": "acquisition_links",
    },
    expires=_expires,
    over_all=_over_all,
    value=follow_value,
    own_value=follow_value,
)

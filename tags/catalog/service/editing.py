"""Making, changing and deleting tags and tag groups: checked here, told to WeCom by the ledger, final when WeCom agreed.

A group that is kept here alone (``push`` local) is final at once, and beyond WeCom's limit of tags.
WeCom's limits (wecom-api.md section 4.3): names of at most 30 characters, unique within a group, group names unique; an
order below 2^32; at most 3000 tags a corp; no group without tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ARRAY, BigInteger, Text, cast, func, or_, select

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.kernel.events import publish
from scrm.kernel.locks import hold_in_transaction
from scrm.wecom.effects import Intent, plan
from tags.catalog.registry import Named, users_of
from tags.catalog.service.refreshing import LOCK, bury_empty_groups
from tags.events import TagsDeleted
from tags.models import Push, Rule, RuleVersion, Tag, TagGroup

MAX_TAGS = 3000
Row = Tag | TagGroup
R = TypeVar("R", Tag, TagGroup)


def create_group(
    name: str, position: int, tags: Sequence[Mapping[str, Any]], push: Push = Push.WECOM
) -> TagGroup:
    """A new group with its tags (``name``, ``position``), pending until WeCom accepts them unless it is local.

    :raises InvalidInput: a name is taken, or there would be more than 3000 tags
    """
    hold_in_transaction(LOCK)
    _refuse_taken_group(name)
    group = TagGroup(name=name, position=position, push=push)
    session().add(group)
    session().flush()
    made = _new_tags(group, tags)
    if push == Push.WECOM:
        plan_creation(group, made)
    return group


def add_tags(group_id: int, tags: Sequence[Mapping[str, Any]]) -> list[Tag]:
    """New tags (``name``, ``position``) in a group, pending until WeCom accepts them unless the group is local.

    :raises NotFound: no such group
    :raises InvalidInput: a name is taken, or there would be more than 3000 tags at WeCom
    :raises Conflict: the group is on its way to WeCom or back
    """
    hold_in_transaction(LOCK)
    group = find_row(TagGroup, group_id)
    refuse_switching(group)
    made = _new_tags(group, tags)
    if group.push == Push.WECOM:
        plan_creation(group, made)
    return made


def edit_group(group_id: int, change: Mapping[str, Any]) -> TagGroup:
    """Another ``name`` or ``position`` for a group; what we show stays as WeCom has it until WeCom accepts."""
    hold_in_transaction(LOCK)
    group = _changeable(TagGroup, group_id)
    if "name" in change and change["name"] != group.name:
        _refuse_taken_group(change["name"])
    if group.wecom_id is None:
        _apply(group, change)
        if group.push == Push.WECOM:
            plan_creation(group, tags_of(group))
        return group
    return _plan_edit(group, change)


def edit_tag(tag_id: int, change: Mapping[str, Any]) -> Tag:
    """Another ``name`` or ``position`` for a tag; what we show stays as WeCom has it until WeCom accepts."""
    hold_in_transaction(LOCK)
    tag = _changeable(Tag, tag_id)
    if "name" in change and change["name"] != tag.name:
        _refuse_taken_tags(tag.group_id, [change["name"]], "name")
    if tag.wecom_id is None:
        _apply(tag, change)
        if (group := find_row(TagGroup, tag.group_id)).push == Push.WECOM:
            plan_creation(group, [tag])
        return tag
    return _plan_edit(tag, change)


def delete_tag(tag_id: int) -> Tag:
    """Delete a tag at WeCom; it stays until WeCom agreed. The last tag takes its group with it, unless that is local.

    :raises Conflict: a rule or a condition names it, or a change of it is on its way
    """
    hold_in_transaction(LOCK)
    tag = _changeable(Tag, tag_id)
    _refuse_used(Named([tag.id]))
    return plan_deletion(tag, {"tag_id": [tag.wecom_id]})


def delete_group(group_id: int) -> TagGroup:
    """Delete a group with all its tags at WeCom; it stays until WeCom agreed.

    :raises Conflict: a rule or a condition names it or one of its tags, or a change of it is on its way
    """
    hold_in_transaction(LOCK)
    group = _changeable(TagGroup, group_id)
    tags = tags_of(group)
    _refuse_used(Named([tag.id for tag in tags], [group.id]))
    if group.wecom_id is None:
        for tag in tags:
            tag.deleted_at = utcnow()
        publish(TagsDeleted(tuple(tag.id for tag in tags)))
    return plan_deletion(group, {"group_id": [group.wecom_id]})


def find_row(model: type[R], id_: int) -> R:
    """A tag or group that is not deleted; raises NotFound."""
    row = session().get(model, id_, populate_existing=True)
    if row is None or row.deleted_at is not None:
        raise NotFound(f"there is no {'tag' if model is Tag else 'tag group'} {id_}")
    return row


def _changeable(model: type[R], id_: int) -> R:
    row = find_row(model, id_)
    group = row if isinstance(row, TagGroup) else find_row(TagGroup, row.group_id)
    refuse_switching(group)
    unknown = group.push == Push.WECOM and row.wecom_id is None and row.failed is None
    if row.pending is not None or unknown:
        raise Conflict(f"a change of {subject(model, id_)} is on its way to WeCom; ask again in a moment")
    return row


def refuse_switching(group: TagGroup) -> None:
    """Raise Conflict while assignments follow a change of where the group lives."""
    if group.switching:
        raise Conflict(
            f"tag group {group.id} is on its way to WeCom or back; ask again when `switching` is over"
        )


def subject(model: type[Any], id_: int) -> str:
    """How an effect names the row it is about: ``tag:5``, ``tag_group:2``."""
    return f"{'tag' if model is Tag else 'tag_group'}:{id_}"


def tags_of(group: TagGroup) -> list[Tag]:
    """The group's tags, oldest first."""
    found = select(Tag).where(Tag.group_id == group.id, Tag.deleted_at.is_(None)).order_by(Tag.id)
    return list(session().scalars(found))


def _new_tags(group: TagGroup, tags: Sequence[Mapping[str, Any]]) -> list[Tag]:
    names = [tag["name"] for tag in tags]
    _refuse_taken_tags(group.id, names, "tags")
    there = pushed_tags()
    if group.push == Push.WECOM and there + len(tags) > MAX_TAGS:
        raise InvalidInput.field(
            "tags",
            f"there are {there} tags; WeCom allows {MAX_TAGS} in all. A group with push: local is kept here alone and "
            "does not count",
        )
    made = [Tag(group_id=group.id, name=tag["name"], position=tag["position"]) for tag in tags]
    session().add_all(made)
    session().flush()
    return made


def pushed_tags() -> int:
    """How many tags count towards WeCom's limit: those of groups that are pushed."""
    pushed = (
        select(func.count())
        .select_from(Tag)
        .join(TagGroup, TagGroup.id == Tag.group_id)
        .where(Tag.deleted_at.is_(None), TagGroup.push == Push.WECOM)
    )
    return session().scalar(pushed) or 0


def _refuse_taken_group(name: str) -> None:
    taken = select(TagGroup.id).where(
        TagGroup.deleted_at.is_(None),
        or_(TagGroup.name == name, TagGroup.pending["name"].astext == name),
    )
    if (other := session().scalar(taken)) is not None:
        raise InvalidInput.field("name", f"is the name of tag group {other}; group names are unique")


def _refuse_taken_tags(group_id: int, names: Sequence[str], field: str) -> None:
    seen: set[str] = set()
    for i, name in enumerate(names):
        where = field if field == "name" else f"{field}.{i}.name"
        if name in seen:
            raise InvalidInput.field(where, "is given twice; names are unique within a group")
        seen.add(name)
    taken = select(Tag.id, Tag.name, Tag.pending["name"].astext.label("pending_name")).where(
        Tag.group_id == group_id,
        Tag.deleted_at.is_(None),
        or_(Tag.name.in_(names), Tag.pending["name"].astext.in_(names)),
    )
    row = session().execute(taken).first()
    if row is not None:
        name = row.name if row.name in seen else row.pending_name
        where = field if field == "name" else f"{field}.{names.index(name)}.name"
        raise InvalidInput.field(
            where, f"is the name of tag {row.id} of this group; names are unique within a group"
        )


def _refuse_used(named: Named) -> None:
    told = [f"rule {id_}" for id_ in _rules_using(named)]
    told += [f"{user.kind} {user.id} ({user.name})" for user in users_of(named)]
    if told:
        raise Conflict(f"used by {', '.join(told)}; take it out there first")


def _rules_using(named: Named) -> Sequence[int]:
    ids = cast(list(named.tag_ids), ARRAY(BigInteger))
    read = [f"tag:{id_}" for id_ in named.tag_ids] + [f"tag_group:{id_}" for id_ in named.group_ids]
    facts = cast(read, ARRAY(Text))
    using = (
        select(Rule.id)
        .join(RuleVersion, (RuleVersion.rule_id == Rule.id) & (RuleVersion.version == Rule.version))
        .where(
            Rule.deleted_at.is_(None),
            or_(
                RuleVersion.add_tag_ids.bool_op("&&")(ids),
                RuleVersion.remove_tag_ids.bool_op("&&")(ids),
                RuleVersion.reads.bool_op("&&")(facts),
            ),
        )
        .order_by(Rule.id)
    )
    return session().scalars(using).all()


def _apply(row: Row, change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        setattr(row, key, value)
    session().flush()


def plan_creation(group: TagGroup, tags: Sequence[Tag]) -> None:
    """One call for the group (when it is new) and the tags; the same name at WeCom means the same group."""
    where: dict[str, Any] = (
        {"group_id": group.wecom_id}
        if group.wecom_id
        else {"group_name": group.name, "order": group.position}
    )
    payload = {**where, "tag": [{"name": tag.name, "order": tag.position} for tag in tags]}
    key = f"add_tag:tag:{tags[0].id}:after:{tags[0].effect_id or 0}"
    effect_id = plan([Intent("add_tag", key, payload, subject(TagGroup, group.id))])[key]
    rows: list[Row] = [*tags, *([] if group.wecom_id else [group])]
    for row in rows:
        row.effect_id, row.failed = effect_id, None
    session().flush()


def _plan_edit(row: R, change: Mapping[str, Any]) -> R:
    differing = {key: value for key, value in change.items() if getattr(row, key) != value}
    if not differing:
        return row
    names = {"name": "name", "position": "order"}
    payload = {"id": row.wecom_id, **{names[key]: value for key, value in differing.items()}}
    _plan_change(row, "edit_tag", payload, differing)
    return row


def plan_deletion(row: R, payload: dict[str, Any]) -> R:
    """One call that deletes it at WeCom; what WeCom does not know goes at once.

    :param payload: of ``del_corp_tag``
    """
    if row.wecom_id is None:
        row.deleted_at = utcnow()
        session().flush()
        if isinstance(row, Tag):
            publish(TagsDeleted((row.id,)))
        bury_empty_groups()
        return row
    _plan_change(row, "delete_tag", payload, {"deleted": True})
    return row


def _plan_change(row: Any, kind: str, payload: dict[str, Any], pending: dict[str, Any]) -> None:
    about = subject(type(row), row.id)
    key = f"{kind}:{about}:after:{row.effect_id or 0}"
    row.effect_id = plan([Intent(kind, key, payload, about)])[key]
    row.pending, row.failed = pending, None
    session().flush()

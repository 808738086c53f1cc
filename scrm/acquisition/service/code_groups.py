"""Folders of channel codes and their order."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, text

from scrm.acquisition.models import ChannelCodeGroup
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound


def create_code_group(name: str) -> ChannelCodeGroup:
    """A new folder, below all others.

    :raises InvalidInput: when one of this name exists
    """
    _refuse_taken(name, None)
    last = session().scalar(select(func.coalesce(func.max(ChannelCodeGroup.position), 0)))
    group = ChannelCodeGroup(name=name, position=(last or 0) + 1)
    session().add(group)
    session().flush()
    return group


def rename_code_group(group_id: int, name: str) -> None:
    """:raises NotFound: when there is none; :raises InvalidInput: when another one has this name"""
    group = _get(group_id)
    _refuse_taken(name, group_id)
    group.name = name
    session().flush()


def delete_code_group(group_id: int) -> None:
    """Take a folder away; its codes stay, in none."""
    session().delete(_get(group_id))
    session().flush()


def order_code_groups(ids: Sequence[int]) -> None:
    """Put these folders first, in this order; the others follow in their old order.

    :raises InvalidInput: when one does not exist or is named twice
    """
    there = set(session().scalars(select(ChannelCodeGroup.id).where(ChannelCodeGroup.id.in_(ids))))
    for place, one in enumerate(ids):
        if one not in there or one in ids[:place]:
            problem = f"there is no group {one}" if one not in there else f"{one} is named twice"
            raise InvalidInput.field(f"ids.{place}", problem)
    session().execute(_ORDER, {"ids": list(ids)})


_ORDER = text("""
WITH wanted AS (
  SELECT g.id, row_number() OVER (
    ORDER BY array_position(CAST(:ids AS bigint[]), g.id) NULLS LAST, g.position, g.id) AS position
  FROM channel_code_groups g)
UPDATE channel_code_groups g SET position = w.position, updated_at = now()
FROM wanted w WHERE w.id = g.id AND g.position <> w.position
""")


def _get(group_id: int) -> ChannelCodeGroup:
    group = session().get(ChannelCodeGroup, group_id, with_for_update=True)
    if group is None:
        raise NotFound(f"there is no group {group_id} of channel codes")
    return group


def _refuse_taken(name: str, own_id: int | None) -> None:
    other = session().scalar(select(ChannelCodeGroup.id).where(ChannelCodeGroup.name == name))
    if other is not None and other != own_id:
        raise InvalidInput.field("name", f"group {other} has this name")

"""Ids in a request must name something; the error says which one does not."""

from __future__ import annotations

from collections.abc import Container, Sequence

from sqlalchemy import select

from scrm.group_entry.models import EntryState, EntryWelcome
from scrm.groups.models import CustomerGroup, GroupStatus
from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput
from tags.queries import unknown_tags


def check_groups(group_ids: Sequence[int], field: str = "groups") -> None:
    """:raises InvalidInput: naming the place of a group that does not exist, was dismissed or is named twice"""
    living = select(CustomerGroup.id).where(
        CustomerGroup.id.in_(group_ids), CustomerGroup.status == GroupStatus.NORMAL
    )
    _refuse(field, group_ids, set(session().scalars(living)), "living group")


def check_tags(tag_ids: Sequence[int]) -> None:
    """:raises InvalidInput: naming the place of a tag that does not exist or is named twice"""
    _refuse("tag_ids", tag_ids, set(tag_ids) - set(unknown_tags(tag_ids)), "tag")


def check_entry_welcome(entry_welcome_id: int | None) -> None:
    """:raises InvalidInput: when there is no such entry welcome"""
    if entry_welcome_id is None:
        return
    found = session().get(EntryWelcome, entry_welcome_id)
    if found is None or found.status is EntryState.DELETED:
        raise InvalidInput.field("entry_welcome_id", f"there is no entry welcome {entry_welcome_id}")


def _refuse(field: str, given: Sequence[int], known: Container[int], what: str) -> None:
    for place, one in enumerate(given):
        if one not in known:
            raise InvalidInput.field(f"{field}.{place}", f"there is no {what} {one}")
        if one in given[:place]:
            raise InvalidInput.field(f"{field}.{place}", f"{one} is named twice")

"""Which tags of a group exclude each other; ours alone, WeCom knows nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scrm.kernel.db import session
from scrm.kernel.errors import InvalidInput, NotFound
from tags.catalog.service.editing import edit_group
from tags.models import TagGroup
from tags.tagging.service.rivals import rival_rules
from tags.tagging.service.settling import want_settling

OURS = ("exclusive", "prefers")


def change_group(group_id: int, change: Mapping[str, Any]) -> TagGroup:
    """Another name, position, or another meaning of its tags.

    :raises NotFound: no such group
    :raises InvalidInput: active rules would give different tags of the group without an order between them
    """
    theirs = {key: value for key, value in change.items() if key not in OURS}
    group = edit_group(group_id, theirs) if theirs else session().get(TagGroup, group_id)
    if group is None or group.deleted_at is not None:
        raise NotFound(f"there is no tag group {group_id}")
    set_exclusive(group, change)
    return group


def set_exclusive(group: TagGroup, change: Mapping[str, Any]) -> None:
    """Take over ``exclusive`` and ``prefers``; what relations hold is settled in the background."""
    before = group.exclusive, group.prefers
    group.exclusive = change.get("exclusive", group.exclusive)
    group.prefers = change.get("prefers", group.prefers)
    session().flush()
    if (group.exclusive, group.prefers) == before:
        return
    if group.exclusive and (found := rival_rules(group.id)):
        raise InvalidInput.field("exclusive", "; ".join(found))
    want_settling([group.id])

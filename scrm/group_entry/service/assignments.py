"""Which group is welcomed with which template. WeCom lets only a person attach it, so owners are asked to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, text, update

from scrm.alerts.service import Alert, alert
from scrm.group_entry.models import EntryWelcomeGroup
from scrm.group_entry.service.checks import check_groups
from scrm.group_entry.service.entry_welcomes import locked_welcome
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound

_ASSIGN = text("""
INSERT INTO entry_welcome_groups AS g (group_id, entry_welcome_id, assigned_at)
SELECT id, :welcome, :now FROM unnest(CAST(:groups AS bigint[])) AS v(id) ORDER BY id
ON CONFLICT (group_id) DO UPDATE SET entry_welcome_id = excluded.entry_welcome_id, assigned_at = excluded.assigned_at,
  told_staff_id = NULL, told_at = NULL, attached_at = NULL, attached_by = NULL
WHERE g.entry_welcome_id <> excluded.entry_welcome_id
""")
_ASSIGN_NEW = text("""
INSERT INTO entry_welcome_groups (group_id, entry_welcome_id, assigned_at)
SELECT v.grp, c.entry_welcome_id, :now
FROM unnest(CAST(:codes AS bigint[]), CAST(:groups AS bigint[])) AS v(code, grp)
JOIN group_codes c ON c.id = v.code JOIN entry_welcomes w ON w.id = c.entry_welcome_id AND w.status <> 'deleted'
ORDER BY v.grp
ON CONFLICT (group_id) DO NOTHING
""")
_UNTOLD = text("""
UPDATE entry_welcome_groups g SET told_staff_id = cg.owner_staff_id, told_at = :now
FROM customer_groups cg, entry_welcomes w
WHERE cg.id = g.group_id AND w.id = g.entry_welcome_id AND g.attached_at IS NULL AND cg.owner_staff_id IS NOT NULL
AND cg.status = 'normal' AND w.status = 'active' AND g.told_staff_id IS DISTINCT FROM cg.owner_staff_id
AND (w.id = ANY(CAST(:welcomes AS bigint[])) OR g.group_id = ANY(CAST(:groups AS bigint[])))
RETURNING g.group_id, cg.owner_staff_id, cg.name, w.name AS welcome, g.entry_welcome_id, g.assigned_at
""")


def assign_groups(welcome_id: int, group_ids: Sequence[int]) -> None:
    """Make these the groups of a template; a group has one, so others lose them. New ones wait to be attached.

    :raises NotFound: when there is no such entry welcome
    :raises InvalidInput: when a group does not exist
    """
    locked_welcome(welcome_id)
    check_groups(group_ids, "group_ids")
    others = delete(EntryWelcomeGroup).where(
        EntryWelcomeGroup.entry_welcome_id == welcome_id, EntryWelcomeGroup.group_id.not_in(group_ids)
    )
    session().execute(others)
    session().execute(_ASSIGN, {"welcome": welcome_id, "groups": sorted(group_ids), "now": utcnow()})
    tell_owners(groups=group_ids)


def assign_to_code_groups(behind: Mapping[int, Iterable[int]]) -> None:
    """Groups put behind a code that have no template yet get the one the code names.

    :param behind: group ids by code id
    """
    pairs = sorted((group_id, code_id) for code_id, ids in behind.items() for group_id in ids)
    if not pairs:
        return
    groups = [group_id for group_id, _ in pairs]
    values = {"codes": [code_id for _, code_id in pairs], "groups": groups, "now": utcnow()}
    session().execute(_ASSIGN_NEW, values)
    tell_owners(groups=groups)


def note_attached(welcome_id: int, group_id: int, by: str, *, attached: bool) -> None:
    """Somebody attached the template to the group in the client, or says that it is not attached after all.

    :raises NotFound: when the template is not meant for this group
    """
    done = (
        update(EntryWelcomeGroup)
        .where(EntryWelcomeGroup.entry_welcome_id == welcome_id, EntryWelcomeGroup.group_id == group_id)
        .values(attached_at=utcnow() if attached else None, attached_by=by if attached else None)
        .returning(EntryWelcomeGroup.group_id)
    )
    if session().scalar(done) is None:
        raise NotFound(f"entry welcome {welcome_id} is not meant for group {group_id}")


def tell_owners(*, welcomes: Sequence[int] = (), groups: Sequence[int] = ()) -> None:
    """Ask owners to attach templates that wait, each owner once per group; a new owner is asked anew."""
    values = {"welcomes": sorted(welcomes), "groups": sorted(groups), "now": utcnow()}
    waiting = session().execute(_UNTOLD, values).all()
    alert(
        [
            Alert(
                kind="entry_welcome",
                key=f"entry_welcome:{row.entry_welcome_id}:{row.group_id}:{row.owner_staff_id}:{row.assigned_at:%s}",
                zh=f"请为客户群「{row.name or row.group_id}」设置入群欢迎语「{row.welcome}」：群聊 › 群管理 › 入群欢迎语。",
                en=f"Please attach the entry welcome “{row.welcome}” to your group “{row.name or row.group_id}”: "
                "group › management › entry welcome.",
                staff_ids=(row.owner_staff_id,),
            )
            for row in waiting
        ]
    )

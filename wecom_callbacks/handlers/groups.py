"""Customer groups change (wecom-api.md section 3.2)."""

from __future__ import annotations

from scrm.groups.service.recording import GroupEvent, GroupFact, record_group_events
from wecom_callbacks.registry import Batch, Callback, Reasons, handles, named, text
from wecom_callbacks.xml import listed

EVENT = "change_external_chat"
FACTS = {"create": GroupFact.FOUNDED, "dismiss": GroupFact.DISMISSED}
UPDATES = {"add_member": GroupFact.JOINED, "del_member": GroupFact.LEFT}


def group_changed(batch: Batch) -> Reasons:
    """A group was founded, changed or dismissed."""
    told, ignored = named(batch, "ChatId")
    record_group_events([_event(one) for one in told])
    return ignored


for _kind in ("create", "update", "dismiss"):
    handles(EVENT, _kind)(group_changed)


def _event(callback: Callback) -> GroupEvent:
    """An update whose detail we do not know (a newer WeCom) says that the group should be read."""
    fields = callback.fields
    fact = FACTS.get(callback.change_type or "") or UPDATES.get(
        str(fields.get("UpdateDetail")), GroupFact.CHANGED
    )
    last, current = text(fields.get("LastMemVer")), text(fields.get("CurMemVer"))
    quit_scene = text(fields.get("QuitScene"))
    people = listed(fields.get("MemChangeList")) if fact in UPDATES.values() else []
    return GroupEvent(
        chat_id=fields["ChatId"],
        fact=fact,
        at=callback.event_at,
        member_ids=tuple(dict.fromkeys(people)),
        scene=int(quit_scene) if quit_scene and quit_scene.isdecimal() and fact is GroupFact.LEFT else None,
        versions=(last, current) if last and current and fact in UPDATES.values() else None,
    )

"""Customer-service accounts and who serves in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from scrm.conversations.models import KfAccount
from scrm.conversations.service.kf import close_missing_accounts, is_ours, keep_accounts
from scrm.conversations.service.kf_servicers import ServicerSeen, keep_servicers
from scrm.kernel.db import session
from scrm.sync.models import SyncPart, SyncRun
from scrm.sync.service import staging
from scrm.sync.service.applying.done import Done
from scrm.sync.service.pages import Json
from scrm.sync.service.tally import counted


def compare(run: SyncRun, part: SyncPart) -> Done:
    """Note accounts that are no longer listed; an empty list is what an app without the right sees."""
    shown = {item.key for item in staging.items_of_part(part.id, "kf_accounts")}
    ours = select(KfAccount.id, KfAccount.open_kfid).where(is_ours(), KfAccount.updated_at < part.started_at)
    gone = [(row.id, row.open_kfid) for row in session().execute(ours) if row.open_kfid not in shown]
    staging.miss(part.id, "kf_accounts", gone if shown else [])
    return Done()


def apply(run: SyncRun, part: SyncPart) -> Done:
    """Write accounts that are new or differ."""
    items = {item.key: item for item in staging.items_of_part(part.id, "kf_accounts")}
    found = session().scalars(select(KfAccount).where(KfAccount.open_kfid.in_(items)))
    ours = {row.open_kfid: row for row in found}
    new = [key for key in items if key not in ours]
    differences = {key: _differences(items[key].body, ours[key]) for key in items if key in ours}
    changed = [key for key, fields in differences.items() if fields]
    if part.started_at is not None:
        keep_accounts([items[key].body for key in (*new, *changed)], part.started_at)
    fields = Counter(name for names in differences.values() for name in names)
    counts = counted(
        seen=len(items), new=len(new), changed=len(changed), fields=fields, new_ids=new, changed_ids=changed
    )
    return Done({"kf_accounts": counts})


def _differences(shown: Json, ours: KfAccount) -> list[str]:
    """Fields in which an account differs; ``removed_at``: it was given back to our app."""
    named = {"name": shown.get("name"), "avatar": shown.get("avatar")}
    taken = ours.removed_at is not None and (ours.granted_at is None or ours.granted_at < ours.removed_at)
    given_back = bool(shown.get("manage_privilege")) and taken
    differing = [name for name, value in named.items() if getattr(ours, name) != value]
    return [*differing, *(["removed_at"] if given_back else [])]


def close(run: SyncRun, part: SyncPart, ids: list[int]) -> Done:
    """Accounts are gone, or were taken from our app."""
    shown = [item.key for item in staging.items_of_part(part.id, "kf_accounts")]
    gone = close_missing_accounts(shown, part.started_at) if part.started_at is not None else 0
    return Done({"kf_accounts": counted(gone=gone, gone_ids=ids)})


def apply_servicers(run: SyncRun, part: SyncPart) -> Done:
    """Make the servicers of these accounts exactly those shown."""
    shown = {
        item.key: [_servicer(row) for row in item.body["servicers"]]
        for item in staging.items_of_part(part.id, "kf_servicers")
    }
    seen = keep_servicers(shown)
    return Done({"kf_servicers": counted(seen=seen.seen, new=seen.new, changed=seen.changed, gone=seen.gone)})


def _servicer(row: Mapping[str, Any]) -> ServicerSeen:
    return ServicerSeen(row.get("userid"), row.get("department_id"), row.get("status"), row.get("stop_type"))

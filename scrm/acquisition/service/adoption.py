"""Contact ways as a sync finds them at WeCom: ours compared, ours that vanished marked, others kept to be adopted.

Nothing here calls WeCom. A setting of ours that somebody changed there is drift: it is shown, and a person says which
side is right; the next change of who serves sends ours anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select, text

from scrm.acquisition.models import ChannelCode, CodeState, FoundWay, WhenOver
from scrm.acquisition.service.arrivals import count_earlier
from scrm.acquisition.service.channel_codes import SEVERAL_MEMBERS, locked_code
from scrm.acquisition.service.duties import note_duties
from scrm.acquisition.service.keeping import keep_current
from scrm.acquisition.service.pushing import QR_CODE, comparable
from scrm.alerts.service import Alert, alert
from scrm.kernel.clock import utcnow
from scrm.kernel.counts import Seen
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.staff.service import ensure_staff

Way = Mapping[str, Any]
"""``contact_way`` of get_contact_way (wecom-api.md section 4.4)."""
LIVING = (CodeState.ACTIVE, CodeState.PENDING, CodeState.FAILED)
STATE_CHARS = 30


def known_config_ids() -> list[str]:
    """Ways a sync should ask about although WeCom's list may leave them out: ours, and those found before.

    Temporary ones are in no list and die by themselves, so they are left out.
    """
    return list(session().scalars(_KNOWN))


_KNOWN = text("""
SELECT config_id FROM channel_codes WHERE config_id IS NOT NULL AND NOT is_temp AND status IN ('active', 'pending', 'failed')
UNION SELECT config_id FROM found_contact_ways WHERE gone_at IS NULL AND channel_code_id IS NULL ORDER BY 1
""")


def apply_ways_seen(seen: Sequence[Way], missing: Sequence[str], asked_at: datetime) -> Seen:
    """Compare what WeCom showed with what we hold. Inside a transaction.

    :param seen: ways as ``get_contact_way`` shows them
    :param missing: config ids that WeCom said it does not know (41044)
    :param asked_at: when the first question left; what we changed since then is not judged
    """
    by_id = {way["config_id"]: way for way in seen}
    ours = _ours([*by_id, *missing])
    known = {code.config_id for code in ours}
    changed = [code for code in ours if code.config_id in by_id and _drifted(code, by_id, asked_at)]
    lost = [code for code in ours if code.config_id in set(missing) and _vanished(code, asked_at)]
    session().flush()
    note_duties([*changed, *lost], utcnow())
    alert([_gone(code) for code in lost])
    found = _keep_found([way for id_, way in sorted(by_id.items()) if id_ not in known])
    gone = len(session().scalars(_FOUND_GONE, {"ids": list(missing), "at": asked_at}).all())
    counts = Seen(seen=len(by_id), new=found["new"], changed=len(changed) + found["changed"])
    same = len(by_id) - counts.new - counts.changed
    return counts + Seen(gone=len(lost) + gone, untouched=same)


def _ours(config_ids: Sequence[str]) -> list[ChannelCode]:
    chosen = (
        select(ChannelCode)
        .where(ChannelCode.config_id.in_(config_ids))
        .order_by(ChannelCode.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return list(session().scalars(chosen))


def _drifted(code: ChannelCode, ways: Mapping[str, Way], asked_at: datetime) -> bool:
    """Note what differs from what we made WeCom hold; whether that is news."""
    if code.effect_id or code.accepted is None or not _settled(code, asked_at):
        return False
    ours, theirs = comparable(code.accepted), comparable(ways[code.config_id or ""])
    ours["state"] = code.accepted.get("state", code.state)
    drift = {name: {"ours": ours[name], "wecom": theirs[name]} for name in ours if ours[name] != theirs[name]}
    if not drift:
        return False
    code.accepted, code.drift = theirs, {**(code.drift or {}), **drift}
    return True


def _settled(code: ChannelCode, asked_at: datetime) -> bool:
    return code.accepted_at is None or code.accepted_at < asked_at


def _vanished(code: ChannelCode, asked_at: datetime) -> bool:
    """Mark a code that WeCom no longer knows; one that is being deleted, or made anew just now, is none."""
    if code.effect_id or code.status not in LIVING or code.is_temp or not _settled(code, asked_at):
        return False
    code.status, code.accepted, code.check_at = CodeState.MISSING, None, None
    return True


def _keep_found(ways: Iterable[Way]) -> dict[str, int]:
    rows = [{"config_id": way["config_id"], "details": dict(way)} for way in ways]
    if not rows:
        return {"new": 0, "changed": 0}
    written = session().execute(_KEEP_FOUND, {"rows": orjson.dumps(rows).decode()}).all()
    new = sum(1 for row in written if row.is_new)
    return {"new": new, "changed": len(written) - new}


_KEEP_FOUND = text("""
INSERT INTO found_contact_ways AS f (config_id, details)
SELECT config_id, details FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(config_id text, details jsonb)
ORDER BY config_id
ON CONFLICT (config_id) DO UPDATE SET details = excluded.details, gone_at = NULL, updated_at = now()
WHERE f.details <> excluded.details OR f.gone_at IS NOT NULL
RETURNING old.id IS NULL AS is_new
""")
_FOUND_GONE = text("""
UPDATE found_contact_ways SET gone_at = :at, updated_at = now()
WHERE config_id = ANY(CAST(:ids AS text[])) AND gone_at IS NULL AND channel_code_id IS NULL RETURNING id
""")


def adopt(config_ids: Sequence[str], group_id: int | None = None) -> list[ChannelCode]:
    """Make channel codes of contact ways that were found; who came through them before counts, nobody is served again.

    A way keeps its ``state`` unless another code of ours has it; then it gets one of its own, which WeCom is told.

    :raises InvalidInput: naming the place of a way that was not found, is gone, adopted already, or is no QR code
    """
    rows = select(FoundWay).where(FoundWay.config_id.in_(config_ids)).order_by(FoundWay.id)
    ways = {way.config_id: way for way in session().scalars(rows.with_for_update())}
    for place, config_id in enumerate(config_ids):
        _refuse_unfit(f"config_ids.{place}", ways.get(config_id), twice=config_id in config_ids[:place])
    ids = ensure_staff(userid for way in ways.values() for userid in way.details.get("user") or [])
    taken = set(session().scalars(select(ChannelCode.state).where(ChannelCode.state.in_(_states(ways)))))
    codes = []
    for config_id in config_ids:
        code = _adopted(ways[config_id], ids, taken)
        code.group_id = group_id
        codes.append(code)
    session().add_all(codes)
    session().flush()
    for code in codes:
        ways[code.config_id or ""].channel_code_id = code.id
    keep_current(codes)
    note_duties(codes, utcnow())
    count_earlier([code.id for code in codes])
    return codes


def _states(ways: Mapping[str, FoundWay]) -> list[str]:
    return [way.details["state"] for way in ways.values() if way.details.get("state")]


def _refuse_unfit(path: str, way: FoundWay | None, *, twice: bool) -> None:
    if way is None or way.gone_at is not None:
        raise InvalidInput.field(path, "is no contact way that was found at WeCom; run a sync first")
    if way.channel_code_id is not None or twice:
        raise InvalidInput.field(path, f"is channel code {way.channel_code_id} already")
    if way.details.get("scene") != QR_CODE or not (way.details.get("user") or way.details.get("party")):
        raise InvalidInput.field(
            path, "is a button of a mini program or names nobody; only QR codes can be adopted"
        )


def _adopted(way: FoundWay, ids: Mapping[str, int], taken: set[str]) -> ChannelCode:
    told = way.details
    state = told.get("state") or ""
    free = state if state and state not in taken else f"adopted-{way.id}"[:STATE_CHARS]
    taken.add(free)
    held = comparable(told)
    return ChannelCode(
        name=told.get("remark") or f"企业微信 {way.config_id[:8]}",
        state=free, status=CodeState.ACTIVE, config_id=way.config_id, qr_code=told.get("qr_code"),
        staff_ids=[ids[userid.casefold()] for userid in told.get("user") or []],
        department_ids=list(told.get("party") or []), use_party=bool(told.get("party")),
        tag_ids=[], slots=[], dates=[], backup_staff_ids=[], caps=[], welcome_slots=[], accept_slots=[], blocked_names=[],
        remark=held["remark"] or None, skip_verify=held["skip_verify"], accepts_now=held["skip_verify"],
        contact_type=told.get("type", SEVERAL_MEMBERS), is_temp=False, when_over=WhenOver.CLOSE,
        on_duty=[], on_duty_party=[], accepted=held, accepted_at=utcnow(), version=1,
    )  # fmt: skip


def settle_drift(code_id: int, keep: str) -> ChannelCode:
    """A person says which side is right where a code was changed at WeCom.

    :param keep: ``ours``: WeCom is told again; ``wecom``: what WeCom shows becomes ours
    :raises Conflict: when nothing drifted
    """
    code = locked_code(code_id)
    if code.drift is None:
        raise Conflict(f"nothing of channel code {code_id} was changed at WeCom")
    if keep == "wecom":
        _take_theirs(code, {name: sides["wecom"] for name, sides in code.drift.items()})
    code.drift = None
    session().flush()
    keep_current([code])
    return code


def _take_theirs(code: ChannelCode, theirs: Mapping[str, Any]) -> None:
    """Members and departments become the usual roster, and what would take them away again goes."""
    if "remark" in theirs:
        code.remark = theirs["remark"] or None
    if "skip_verify" in theirs:
        code.skip_verify, code.accept_slots = theirs["skip_verify"], []
    if "user" in theirs or "party" in theirs:
        held = comparable(code.accepted or {})
        ids = ensure_staff(held["user"])
        code.staff_ids = [ids[userid.casefold()] for userid in held["user"]]
        code.department_ids, code.use_party = held["party"], bool(held["party"])
        code.slots, code.dates = [], []
        if code.use_party:
            code.daily_cap, code.caps = None, []


def _gone(code: ChannelCode) -> Alert:
    return Alert(
        kind="channel_code_missing",
        key=f"channel_code_missing:{code.id}:{code.config_id}",
        zh=f"渠道活码「{code.name}」（{code.id}）在企业微信中已不存在，扫码无效。可重新生成，但需要更换已印刷的二维码。",
        en=f"WeCom no longer knows channel code {code.name} ({code.id}): scanning it leads nowhere. It can be made anew, "
        "with another picture.",
        operators=True,
    )

"""What a sync saw of our join ways and templates, compared with ours. Nothing here calls WeCom or plans a call.

Join ways and templates are shown by their ids only, so a sync asks for those we know. What differs is written down as
drift; a join way is set right again by the clock's next review, because nobody but a program can change one, while the
drift of a template is shown to people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from scrm.group_entry.models import EntryState, EntryWelcome, GroupCode
from scrm.group_entry.service.group_codes import put_behind
from scrm.group_entry.service.join_ways import comparable, forget_way
from scrm.group_entry.service.templates import body_of
from scrm.groups.models import CustomerGroup, GroupStatus
from scrm.groups.service.details import want_groups
from scrm.kernel.counts import Seen
from scrm.kernel.db import session
from scrm.wecom.welcome_template_match import template_differences

Json = dict[str, Any]
GONE = "WeCom no longer has it; change anything to make it anew (its QR code will be another one)"
GONE_TEMPLATE = "WeCom no longer has it; change anything to make it anew"


def known_config_ids() -> list[str]:
    """Config ids of the join ways that WeCom should have."""
    return list(
        session().scalars(select(GroupCode.config_id).where(*_expected_ways()).order_by(GroupCode.id))
    )


def apply_join_ways_seen(seen: Sequence[Json], missing: Sequence[str], asked_at: datetime) -> Seen:
    """Compare what get_join_way showed.

    :param seen: ``join_way`` of each answer
    :param missing: config ids that WeCom does not know (41044)
    :param asked_at: from before the first question; what we learned later counts more
    """
    shown = {way["config_id"]: way for way in seen}
    codes = _locked_codes([*shown, *missing], asked_at)
    gone = [code for code in codes if code.config_id in set(missing) - shown.keys()]
    for code in gone:
        forget_way(code)
        code.status, code.error = EntryState.FAILED, GONE
    present = [(code, shown[code.config_id]) for code in codes if code.config_id in shown]
    _put_behind_made(present)
    drifted = [code for code, way in present if _compare(code, way, asked_at)]
    session().flush()
    return Seen(len(shown), 0, len(drifted), len(gone), len(shown) - len(drifted))


def known_template_ids() -> list[str]:
    """Template ids of the entry welcomes that WeCom should have."""
    return list(
        session().scalars(select(EntryWelcome.template_id).where(*_expected()).order_by(EntryWelcome.id))
    )


def apply_templates_seen(seen: Sequence[Json], missing: Sequence[str], asked_at: datetime) -> Seen:
    """Compare what group_welcome_template/get showed.

    :param seen: each answer with its ``template_id`` added, which WeCom does not repeat
    :param missing: template ids that WeCom does not know
    """
    shown = {answer["template_id"]: answer for answer in seen}
    welcomes = session().scalars(
        select(EntryWelcome)
        .where(
            *_expected(),
            EntryWelcome.template_id.in_([*shown, *missing]),
            EntryWelcome.effect_id.is_(None),
            (EntryWelcome.accepted_at.is_(None)) | (EntryWelcome.accepted_at < asked_at),
        )
        .order_by(EntryWelcome.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()  # fmt: skip
    changed = gone = 0
    for welcome in welcomes:
        if welcome.template_id in shown:
            changed += _compare_template(welcome, shown[welcome.template_id])
        else:
            gone += 1
            welcome.template_id = welcome.accepted = welcome.drift = None
            welcome.status, welcome.error = EntryState.FAILED, GONE_TEMPLATE
    session().flush()
    return Seen(len(shown), 0, changed, gone, len(shown) - changed)


def _expected_ways() -> tuple[Any, ...]:
    return GroupCode.config_id.is_not(None), GroupCode.status != EntryState.DELETED


def _expected() -> tuple[Any, ...]:
    return EntryWelcome.template_id.is_not(None), EntryWelcome.status != EntryState.DELETED


def _locked_codes(config_ids: Sequence[str], asked_at: datetime) -> Sequence[GroupCode]:
    """Codes of these ways of which nothing newer is known and no call is under way."""
    return (
        session()
        .scalars(
            select(GroupCode)
            .where(
                *_expected_ways(),
                GroupCode.config_id.in_(config_ids),
                GroupCode.effect_id.is_(None),
                (GroupCode.accepted_at.is_(None)) | (GroupCode.accepted_at < asked_at),
            )
            .order_by(GroupCode.id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        .all()
    )


def _put_behind_made(present: Sequence[tuple[GroupCode, Json]]) -> None:
    """Groups that WeCom made and put behind a code by itself are the code's from now on."""
    wanted = {
        (code.id, chat_id)
        for code, way in present
        if code.auto_create_room
        for chat_id in way.get("chat_id_list") or []
        if chat_id not in (code.accepted or {}).get("chat_id_list", [])
    }
    if not wanted:
        return
    want_groups(chat_id for _, chat_id in wanted)
    rows = select(CustomerGroup.chat_id, CustomerGroup.id).where(
        CustomerGroup.chat_id.in_({chat_id for _, chat_id in wanted}), CustomerGroup.status == GroupStatus.NORMAL
    )  # fmt: skip
    ids = dict(session().execute(rows).all())
    put_behind([(code_id, ids[chat_id]) for code_id, chat_id in wanted if chat_id in ids])


def _compare(code: GroupCode, way: Json, asked_at: datetime) -> bool:
    """Take over what WeCom holds; whether that differs from what it held as far as we knew."""
    code.qr_code = way.get("qr_code") or code.qr_code
    held = {key: way.get(key) for key in code.accepted or {}}
    if _plain(held) == _plain(code.accepted or {}):
        return False
    code.accepted, code.accepted_at, code.drifted_at = comparable(held), asked_at, asked_at
    return True


def _plain(way: Mapping[str, Any]) -> Json:
    """So that two can be compared: WeCom leaves empty fields out, and its order of groups says nothing.

    The serial number is left out: WeCom counts it on by itself.
    """
    return {
        key: sorted(value) if isinstance(value, list) else value or None
        for key, value in way.items()
        if key != "room_base_id"
    }


def _compare_template(welcome: EntryWelcome, shown: Json) -> bool:
    differences = template_differences(shown, body_of(welcome)) or None
    changed = differences != welcome.drift
    welcome.drift = differences
    return changed

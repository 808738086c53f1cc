"""Members of staff that channel codes and welcome messages name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import any_, func, literal, select, text, update

from scrm.acquisition.models import ChannelCode, WelcomeMessage
from scrm.kernel.db import session

ARRAYS = ((ChannelCode, "staff_ids"), (ChannelCode, "backup_staff_ids"), (ChannelCode, "on_duty"), (WelcomeMessage, "staff_ids"))  # fmt: skip


def move_staff(moves: Mapping[int, int]) -> None:
    """Two rows were the same member: whatever names one names the other.

    :param moves: {id that is gone: id that stays}
    """
    for gone, kept in sorted(moves.items()):
        for table, name in ARRAYS:
            column = getattr(table, name)
            session().execute(
                update(table)
                .where(literal(gone) == any_(column))
                .values({name: func.array_replace(column, gone, kept)})
                .execution_options(synchronize_session=False)
            )
        session().execute(_ADDS, {"gone": gone, "kept": kept})
        session().execute(_CLOSE_TWICE, {"gone": gone, "kept": kept})
        session().execute(_DUTIES, {"gone": gone, "kept": kept})
    _move_rosters(moves)


def _move_rosters(moves: Mapping[int, int]) -> None:
    """Rosters of slots and dates, and caps, are JSON: the few codes that name a moved member are rewritten here."""
    ids = session().scalars(_NAMING, {"gone": sorted(moves)}).all()
    for code in session().scalars(
        select(ChannelCode).where(ChannelCode.id.in_(ids)).execution_options(populate_existing=True)
    ):
        code.slots, code.dates = ([_moved(row, moves) for row in rows] for rows in (code.slots, code.dates))
        caps = {moves.get(cap["staff_id"], cap["staff_id"]): cap["cap"] for cap in code.caps}
        code.caps = [{"staff_id": id_, "cap": cap} for id_, cap in caps.items()]
    session().flush()


def _moved(row: Mapping[str, Any], moves: Mapping[int, int]) -> dict[str, Any]:
    ids = dict.fromkeys(moves.get(one, one) for one in row.get("staff_ids") or ())
    return {**row, "staff_ids": list(ids)}


_ADDS = text("UPDATE channel_adds SET staff_id = :kept WHERE staff_id = :gone")
_CLOSE_TWICE = text("""
UPDATE channel_duties d SET until_at = now() WHERE d.staff_id = :gone AND d.until_at IS NULL
AND EXISTS (SELECT FROM channel_duties o WHERE o.channel_code_id = d.channel_code_id AND o.staff_id = :kept
  AND o.until_at IS NULL)
""")
_DUTIES = text("UPDATE channel_duties SET staff_id = :kept WHERE staff_id = :gone")
_NAMING = text("""
SELECT id FROM channel_codes WHERE EXISTS (
  SELECT FROM jsonb_array_elements(slots || dates) r, jsonb_array_elements(r -> 'staff_ids') s
  WHERE CAST(s AS bigint) = ANY(CAST(:gone AS bigint[])))
OR EXISTS (SELECT FROM jsonb_array_elements(caps) c WHERE CAST(c -> 'staff_id' AS bigint) = ANY(CAST(:gone AS bigint[])))
ORDER BY id FOR UPDATE
""")

"""Members of staff that channel codes and welcome messages name."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import any_, func, literal, update

from scrm.acquisition.models import ChannelCode, WelcomeMessage
from scrm.kernel.db import session


def move_staff(moves: Mapping[int, int]) -> None:
    """Two rows were the same member: codes and messages that name one name the other.

    :param moves: {id that is gone: id that stays}
    """
    for gone, kept in sorted(moves.items()):
        for table in (ChannelCode, WelcomeMessage):
            session().execute(
                update(table)
                .where(literal(gone) == any_(table.staff_ids))
                .values(staff_ids=func.array_replace(table.staff_ids, gone, kept))
                .execution_options(synchronize_session=False)
            )

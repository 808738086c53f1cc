"""What the company sets; a job works it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput
from scrm.value.models import ValueSettings
from scrm.value.queries.settings import stages
from scrm.value.registry import users_of


def set_rfm(chosen: dict[str, Any]) -> None:
    """Method, window, currency and cut-points; as the schema checked them."""
    _set(rfm=chosen)


def set_stages(chosen: Sequence[dict[str, Any]]) -> None:
    """The stages, in the order in which they are tried.

    :raises InvalidInput: two of one key, bounds the wrong way round, or transitions from stages that do not exist
    :raises Conflict: conditions name a stage that would go (``stage-in-use``)
    """
    keys = [stage["key"] for stage in chosen]
    for place, stage in enumerate(chosen):
        path = f"stages.{place}"
        if keys.index(stage["key"]) != place:
            raise InvalidInput.field(f"{path}.key", "is the key of another stage too")
        for figure in ("orders", "days"):
            least, most = stage[f"{figure}_min"], stage[f"{figure}_max"]
            if least is not None and most is not None and least > most:
                raise InvalidInput.field(f"{path}.{figure}_max", f"must be at least {figure}_min")
        if strangers := sorted({*(stage["enters_from"] or ())} - {*keys}):
            raise InvalidInput.field(f"{path}.enters_from", f"names no stage: {', '.join(strangers)}")
    _refuse_used(frozenset(stage["key"] for stage in stages()) - {*keys})
    _set(stages=list(chosen))


def _refuse_used(going: frozenset[str]) -> None:
    if going and (users := users_of(going)):
        told = ", ".join(f"{user.kind} {user.id} ({user.name})" for user in users)
        keys = ", ".join(sorted(going))
        raise Conflict(
            f"of the stages that would go ({keys}) some are used by {told}; change those first",
            code="stage-in-use",
        )


def _set(**values: Any) -> None:
    changes = {**values, "changed_at": utcnow()}
    statement = insert(ValueSettings).values(id=1, **changes)
    session().execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes))

"""Values that somebody says identify nobody: a shop's own phone, a mailbox that everybody uses."""

from __future__ import annotations

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert

from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.people.models import BlockedValue, IdentityClaim, PersonIdentity
from scrm.people.queries.survivors import survivors
from scrm.people.service.identity import Identity, IdentityKind


def block_value(key: Identity, by: str, note: str) -> BlockedValue:
    """Let a value identify nobody from now on; who has it loses it, and gets it back when the block is lifted.

    Records that are known already stay with their persons.

    :raises InvalidInput: WeCom's own ids are never blocked, they name exactly one customer
    :raises Conflict: it is blocked already
    """
    if key.kind == IdentityKind.EXTERNAL_USERID:
        raise InvalidInput.field(
            "kind", "must be another than external_userid, which names exactly one customer"
        )
    values = {"kind": key.kind, "value": key.value, "reason": by, "note": note}
    adding = insert(BlockedValue).values(values).on_conflict_do_nothing().returning(BlockedValue)
    made = session().scalars(adding).one_or_none()
    if made is None:
        raise Conflict("this value is blocked already; GET /api/v1/people/blocked-values lists it")
    made.person_id = session().scalar(_TAKE, {"kind": key.kind, "value": key.value})
    session().flush()
    return made


_TAKE = text("DELETE FROM identities WHERE kind = :kind AND value = :value RETURNING person_id")


def lift_block(blocked_id: int) -> None:
    """Let a value identify again. Claims that were counted are forgotten, so that the next one does not block it anew.

    :raises NotFound: no such block
    """
    statement = select(BlockedValue).where(BlockedValue.id == blocked_id).with_for_update()
    found = session().scalars(statement).one_or_none()
    if found is None:
        raise NotFound(f"there is no blocked value {blocked_id}")
    mine = IdentityClaim.kind == found.kind, IdentityClaim.value == found.value
    session().execute(delete(IdentityClaim).where(*mine))
    person = survivors([found.person_id]).get(found.person_id) if found.person_id is not None else None
    if person is not None:
        values = {"kind": found.kind, "value": found.value, "person_id": person, "source": "unblocked"}
        session().execute(insert(PersonIdentity).values(values).on_conflict_do_nothing())
    session().execute(delete(BlockedValue).where(BlockedValue.id == blocked_id))

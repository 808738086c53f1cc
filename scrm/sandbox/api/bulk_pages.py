"""Reading members' customers when the corp has computed ones: theirs first, then the stored ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from scrm.sandbox.api.bulk_rows import rows_of
from scrm.sandbox.api.customer_json import batch_row
from scrm.sandbox.api.relations import scoped_member
from scrm.sandbox.model.bulk import BITS, OWN, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrm.sandbox.api.registry import Call, Json
    from scrm.sandbox.model.bulk import BulkCorp
    from scrm.sandbox.model.people import Member

JSON_TYPE = "application/json; charset=UTF-8"
PLACE_BITS = 32  # a cursor is (member's place in the list, place among their customers)


def batch_page(
    call: Call, bulk: BulkCorp, userids: list[str], offset: int, limit: int
) -> tuple[bytes, int | None]:
    """The rows as JSON bytes, and the next offset (None: that was all)."""
    members = [scoped_member(call, userid) for userid in userids]
    place, at = offset >> PLACE_BITS, offset & ((1 << PLACE_BITS) - 1)
    rows: list[bytes] = []
    while place < len(members):
        found, at = _of_member(call, bulk, members[place], at, limit - len(rows))
        rows += found
        if len(rows) == limit:
            return b",".join(rows), place << PLACE_BITS | at
        place, at = place + 1, 0
    return b",".join(rows), None


def answer(rows: bytes, cursor: str) -> Json:
    """The finished answer of batch/get_by_user."""
    data = b'{"errcode":0,"errmsg":"ok","external_contact_list":[%b],"next_cursor":"%b"}'
    return {"_bytes": data % (rows, cursor.encode()), "_type": JSON_TYPE}


def ids_of(bulk: BulkCorp, userid: str) -> Iterator[str]:
    """The computed customers of a member."""
    index = bulk.index.get(userid)
    if index is None:
        return
    sides = [(index, OWN)]
    if bulk.shared:
        sides.append(((index - 1) % len(bulk.userids), SECOND))
    for own, kind in sides:
        for number in range(own << BITS, (own << BITS) + bulk.per_member):
            if number in bulk.taken or (kind == SECOND and not bulk.is_shared(number)):
                continue
            if not (bulk.alterations and bulk.is_gone(number, kind)):
                yield bulk.customer_id(number)


def _of_member(call: Call, bulk: BulkCorp, member: Member, at: int, want: int) -> tuple[list[bytes], int]:
    """Computed own ones at 0…, computed second ones after them, stored ones after those."""
    rows: list[bytes] = []
    index, size, made = bulk.index.get(member.userid), bulk.per_member, rows_of(call.world, bulk)
    if index is not None and at < size:
        rows, at = made.own(index, at, want)
    if index is not None and size <= at < 2 * size and len(rows) < want:
        found, place = made.second(index, at - size, want - len(rows))
        rows, at = rows + found, place + size
    if len(rows) == want and at < 2 * size:
        return rows, at
    stored = max(0, at - 2 * size)
    part = member.customers()[stored : stored + want - len(rows)]
    rows += [orjson.dumps(batch_row(call.world.customers[item.external_userid], item)) for item in part]
    return rows, 2 * size + stored + len(part)

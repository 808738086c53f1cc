"""Rows of batch/get_by_user for computed customers, straight as JSON bytes: a million must be quick to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from scrm.sandbox.api.customer_json import batch_row
from scrm.sandbox.model.bulk import (
    AVALANCHE,
    BITS,
    CHOICES,
    DAY,
    GOLDEN,
    MASK,
    OWN,
    SECOND,
    BulkCorp,
    hits,
)

if TYPE_CHECKING:
    from scrm.sandbox.model.world import World

ROW = (
    b'{"external_contact":{"external_userid":"%b","name":"%b","avatar":"http://wx.qlogo.invalid/%b/0",'
    b'"type":1,"gender":%d,"unionid":"oU%b"},"follow_info":{"userid":"%b","remark":"%b","description":"",'
    b'"createtime":%d,"tag_id":%b,"remark_mobiles":[],"oper_userid":"%b","add_way":%d%b}}'
)
SPAN = 180 * DAY


class BulkRows:
    """The parts of a row that repeat, as bytes; valid for one `version` of the corp."""

    def __init__(self, bulk: BulkCorp) -> None:
        """Prepare once; BulkCorp.version says when this is out of date."""
        self.bulk = bulk
        self.version = bulk.version
        self._names = [orjson.dumps(name)[1:-1] for name in bulk.names]
        self._tags = [orjson.dumps(item) for item in bulk.tag_choices]
        self._states = [b',"state":%b' % orjson.dumps(item) if item else b"" for item in bulk.state_choices]
        self._salts = [(item.what == "name", item.salt, item.threshold) for item in bulk.alterations]

    def own(self, index: int, start: int, want: int) -> tuple[list[bytes], int]:
        """At most `want` rows of the member's own customers from `start`, and where to go on."""
        bulk, names, tags, states, ways = self.bulk, self._names, self._tags, self._states, self.bulk.ways
        taken, seed, born, altered = bulk.taken, bulk.seed, bulk.born, self._salts
        userid, base, names_count = bulk.userids[index].encode(), index << BITS, len(self._names)
        rows: list[bytes] = []
        for at in range(start, bulk.per_member):
            if len(rows) == want:
                return rows, at
            number = base | at
            if taken and number in taken:
                continue
            if altered and self._is_altered(number, OWN):
                rows += self._slow(number, OWN)
                continue
            mixed = (number * GOLDEN + seed) & MASK
            mixed = ((mixed ^ (mixed >> 32)) * AVALANCHE) & MASK
            who = b"wm%016x%014x" % (mixed, number)
            name = names[(mixed >> 8) % names_count]
            created, state = born - (mixed >> 20) % SPAN, states[(mixed >> 46) % CHOICES]
            tag, way = tags[(mixed >> 40) % CHOICES], ways[(mixed >> 50) % len(ways)]
            rows.append(
                ROW % (who, name, who, mixed % 3, who[2:28], userid, name, created, tag, who, way, state)
            )
        return rows, bulk.per_member

    def second(self, index: int, start: int, want: int) -> tuple[list[bytes], int]:
        """The same for the customers of the member before, a share of whom this member follows too."""
        bulk = self.bulk
        rows: list[bytes] = []
        base = ((index - 1) % len(bulk.userids)) << BITS
        for at in range(start, bulk.per_member if bulk.shared else 0):
            if len(rows) == want:
                return rows, at
            number = base | at
            if number not in bulk.taken and bulk.is_shared(number):
                rows += self._slow(number, SECOND)
        return rows, bulk.per_member

    def _is_altered(self, number: int, kind: int) -> bool:
        relation = number << 1 | kind
        return any(
            hits(number << 1 if for_all else relation, salt, threshold)
            for for_all, salt, threshold in self._salts
        )

    def _slow(self, number: int, kind: int) -> list[bytes]:
        if self._salts and self.bulk.is_gone(number, kind):
            return []
        relation = self.bulk.relation(number, kind)
        return [orjson.dumps(batch_row(relation.customer(), relation.follow))]


def rows_of(world: World, bulk: BulkCorp) -> BulkRows:
    """The prepared parts, made anew when the corp was altered."""
    found = world.bulk_rows
    if not isinstance(found, BulkRows) or found.bulk is not bulk or found.version != bulk.version:
        found = world.bulk_rows = BulkRows(bulk)
    return found

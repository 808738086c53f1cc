"""Members of a static audience: customers that a file names by what identifies them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import func, select, text

from scrm.audiences.models import Audience, AudienceKind, AudienceMember
from scrm.audiences.service.members import add_members
from scrm.imports.service.converting import Kind
from scrm.imports.service.targets.identities import identities_of, identity_fields, surest
from scrm.imports.service.targets.registry import (
    Changes,
    Found,
    Origin,
    Target,
    TargetField,
    Values,
    register,
)
from scrm.kernel.batch import Batch, Shape, whole
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor, Permission
from scrm.people.service.identity import strength
from scrm.people.service.sent import sent_identities

ROW = Shape({"identities": sent_identities, "audience": whole}, required=("identities", "audience"))
NOBODY = "is no customer of ours; only customers can be on a list"
LIST = "must be the id of a static audience that is not archived, as a constant; a file fills one list"


class AudienceMembers(Target):
    """Customers who come onto one static list; nobody is made, and who is on it stays."""

    name, zh, en = "audience", "人群名单", "audience members"
    permission, grouped = Permission.AUDIENCES_WRITE, False

    def fields(self, constants: Mapping[str, Any]) -> dict[str, TargetField]:
        """What identifies a customer, and the list."""
        return {"audience": TargetField("audience", Kind.INTEGER, "人群", "audience"), **identity_fields()}

    def missing(self, paths: set[str], constants: Mapping[str, Any]) -> dict[str, str]:
        """Somebody must be named, and the list."""
        problems = {} if _is_list(constants.get("audience")) else {"audience": LIST}
        if not any(path.startswith("identity:") for path in paths):
            problems["identity:phone"] = (
                "map a column that says who it is: external_userid, phone or the like"
            )
        return problems

    def key(self, values: Values) -> str | None:
        """The surest identity: nobody is put on the list twice."""
        return surest(values)

    def document(self, rows: Sequence[Values], numbers: Sequence[int], origin: Origin) -> dict[str, Any]:
        """Who, and onto which list."""
        return {"identities": identities_of(rows[0]), "audience": rows[0].get("audience")}

    def store(self, batch: Batch, actor: Actor) -> None:
        """Put the customers on their list; rows that name no customer are refused."""
        good = batch.read(ROW)
        customers = _customers([row["identities"] for _, row in good])
        wanted: dict[int, set[int]] = defaultdict(set)
        for (index, row), theirs in zip(good, customers, strict=True):
            if theirs:
                wanted[row["audience"]].update(theirs)
                batch.results[index] |= {"status": "unchanged", "customer_ids": theirs}
            else:
                batch.refuse(index, {"identities": NOBODY})
        for audience_id, ids in sorted(wanted.items()):
            add_members(audience_id, sorted(ids), f"import:{batch.source}")

    def found(self, batch: Batch, changes: Changes) -> list[Found | None]:
        """Who is new on the list."""
        came = {
            after["customer_id"] for before, after in changes.get("audience_members", ()) if before is None
        }
        found: list[Found | None] = []
        for result in batch.results:
            ids = result.get("customer_ids")
            if not ids:
                found.append(None)
                continue
            found.append(Found("new" if came & set(ids) else "unchanged", ids[0]))
            came -= set(ids)
        return found

    def base(self, source: str) -> int:
        """Everybody on any list."""
        return session().scalar(select(func.count()).select_from(AudienceMember)) or 0


def _is_list(audience_id: int | None) -> bool:
    found = session().get(Audience, audience_id) if audience_id is not None else None
    wanted = found is not None and found.kind is AudienceKind.STATIC
    return wanted and found is not None and found.archived_at is None and found.deleted_at is None


def _customers(records: Sequence[Any]) -> list[list[int]]:
    """Of each record, the customers of the person whom its surest known identity names."""
    rows = [
        {"place": place, "strength": order, "kind": key.kind, "value": key.value}
        for place, record in enumerate(records)
        for order, key in enumerate(sorted(record, key=lambda key: strength(key.kind)))
        if key.identifies
    ]
    found = session().execute(_FIND, {"rows": orjson.dumps(rows).decode()})
    customers: dict[int, list[int]] = {row.place: row.customers for row in found}
    return [customers.get(place, []) for place in range(len(records))]


_FIND = text("""
WITH named AS (
  SELECT DISTINCT ON (r.place) r.place, i.person_id
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(place int, strength int, kind text, value text)
  JOIN identities i USING (kind, value) ORDER BY r.place, r.strength)
SELECT n.place, array_agg(c.customer_id ORDER BY c.customer_id) AS customers
FROM named n JOIN customer_people c USING (person_id) GROUP BY n.place
""")


register(AudienceMembers())

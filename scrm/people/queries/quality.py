"""How good is what we know: of one person, and of everybody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    not_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from scrm.conversations.models import Direction, Message
from scrm.customers.models import Customer, Follow, FollowStatus
from scrm.customers.queries import visible
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.paging import decode_cursor, encode_cursor
from scrm.kernel.permissions import Actor, Scope
from scrm.kernel.schemas import LIMIT_DEFAULT
from scrm.people.models import (
    CleaningItem,
    CleaningRun,
    CustomerPerson,
    PersonField,
    PersonValue,
    QualityReport,
)
from scrm.people.queries.fields import FieldSpec, FieldType, field_specs
from scrm.people.queries.people import seen_specs, whole_person

STALE_DAYS = 365
ASKED_DAYS = 90  # who gave no answer is not asked the same for so long
QUESTIONS = 2
WORTH = {"phone": 5, "birthday": 4, "name": 4, "email": 3, "gender": 2, "address": 2, "company": 1}
WORTH_REQUIRED, WORTH_OWN = 6, 2


def worth(spec: FieldSpec) -> int:
    """How much a field counts: required ones most, then what identifies or dates a person, then the rest."""
    return WORTH_REQUIRED if spec.required else WORTH.get(spec.key, WORTH_OWN)


def counted_specs(specs: dict[str, FieldSpec]) -> list[FieldSpec]:
    """Fields of the completeness score: all but files."""
    return [spec for spec in specs.values() if spec.type is not FieldType.FILE]


def person_quality(actor: Actor, person_id: int) -> dict[str, Any]:
    """Completeness (0 to 1) of one person, what is missing, and what to ask next."""
    found = whole_person(actor.scope, person_id)
    specs = counted_specs(seen_specs(actor))
    known = set(session().scalars(select(PersonField.field).where(PersonField.person_id == found)))
    missing = [spec for spec in specs if spec.key not in known]
    total = sum(worth(spec) for spec in specs)
    filled = total - sum(worth(spec) for spec in missing)
    return {
        "person_id": found,
        "completeness": round(filled / total, 3),
        "missing": [spec.key for spec in missing],
        "missing_required": [spec.key for spec in missing if spec.required],
        "questions": [_question(spec) for spec in _to_ask(found, missing)[:QUESTIONS]],
    }


def _to_ask(person_id: int, missing: list[FieldSpec]) -> list[FieldSpec]:
    """What is worth asking, the most valuable first; not what there was no answer to lately."""
    asked = set(
        session().scalars(
            select(PersonValue.field).where(
                PersonValue.person_id == person_id,
                PersonValue.value.is_(None),
                PersonValue.at > utcnow() - timedelta(days=ASKED_DAYS),
            )
        )
    )
    open_ = [spec for spec in missing if spec.key not in asked]
    return sorted(open_, key=lambda spec: (-worth(spec), spec.position, spec.key))


def _question(spec: FieldSpec) -> dict[str, Any]:
    ends = {"choices": list(spec.choices)} if spec.choices else {}
    words = {
        "zh": f"请问您的{spec.name_zh}是？",
        "en": f"May we ask for your {spec.name_en}?",
    }
    return {"key": spec.key, "type": spec.type, **words, **ends}


class Neglect(StrEnum):
    """What is wrong with a contact."""

    NEVER_WROTE = "never_wrote"  # no message of theirs is known
    LEFT = "left"  # nobody follows them any more
    STALE = "stale"  # no message, no add, nothing new known for a year


def neglected(kind: Neglect, now: datetime) -> ColumnElement[bool]:
    """The clause over customers."""
    return _CLAUSES[kind](now)


def _wrote(*clauses: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(Message.id).where(Message.customer_id == Customer.id, *clauses).correlate(Customer))


def _follows(*clauses: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(Follow.id).where(Follow.customer_id == Customer.id, *clauses).correlate(Customer))


def _never_wrote(now: datetime) -> ColumnElement[bool]:
    return not_(_wrote(Message.direction == Direction.IN))


def _left(now: datetime) -> ColumnElement[bool]:
    return and_(_follows(), not_(_follows(Follow.status == FollowStatus.ACTIVE)))


def _stale(now: datetime) -> ColumnElement[bool]:
    since = _year_ago(now)
    said = exists(
        select(PersonValue.id)
        .join(CustomerPerson, CustomerPerson.person_id == PersonValue.person_id)
        .where(CustomerPerson.customer_id == Customer.id, PersonValue.at > since)
        .correlate(Customer)
    )
    added = func.greatest(Follow.added_at, Follow.half_added_at) > since
    return and_(_long_known(now), not_(_wrote(Message.sent_at > since)), not_(_follows(added)), not_(said))


def _long_known(now: datetime) -> ColumnElement[bool]:
    return Customer.created_at < _year_ago(now)


def _year_ago(now: datetime) -> datetime:
    return now - timedelta(days=STALE_DAYS)


_CLAUSES: dict[Neglect, Callable[[datetime], ColumnElement[bool]]] = {
    Neglect.NEVER_WROTE: _never_wrote,
    Neglect.LEFT: _left,
    Neglect.STALE: _stale,
}


LOOKED_AT, LOOKS = 10_000, 5  # customers of one look, and looks of one page: half a second or less


def neglected_page(scope: Scope, kind: Neglect, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of customers with this problem, newest first, as (customer_id, person_id).

    Looked for some thousand customers at a time: asked of everybody at once PostgreSQL works out the whole list before it
    gives its first row. Where they are few, a page ends after so many looks, with fewer rows than asked for or none, and
    its cursor goes on from there.

    :param query: ``cursor`` and ``limit``
    """
    limit, now = query.get("limit", LIMIT_DEFAULT), utcnow()
    rows: list[Any] = []
    after: Any = decode_cursor(query["cursor"]) if query.get("cursor") else None
    for _ in range(LOOKS):
        looked_at = _candidates(scope, kind, now, after)
        rows += session().execute(_neglected_of(looked_at, kind, now).limit(limit + 1 - len(rows)))
        if len(rows) > limit:
            return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1].customer_id)}
        if len(looked_at) < LOOKED_AT:
            return {"items": rows, "next_cursor": None}
        after = looked_at[-1]
    return {"items": rows, "next_cursor": encode_cursor(after)}


def _candidates(scope: Scope, kind: Neglect, now: datetime, after: int | None) -> list[int]:
    """The next customers that can have this problem, newest first."""
    found = select(Customer.id).where(visible(scope))
    if kind is Neglect.STALE:
        found = found.where(_long_known(now))
    if after is not None:
        found = found.where(Customer.id < after)
    return list(session().scalars(found.order_by(Customer.id.desc()).limit(LOOKED_AT)))


def _neglected_of(customer_ids: list[int], kind: Neglect, now: datetime) -> Select[Any]:
    columns: Any = select(Customer.id.label("customer_id"), CustomerPerson.person_id)
    linked = columns.outerjoin(CustomerPerson, CustomerPerson.customer_id == Customer.id)
    among = Customer.id == func.any(literal(customer_ids, ARRAY(BigInteger)))
    found: Select[Any] = linked.where(among, neglected(kind, now)).order_by(Customer.id.desc())
    return found


def all_specs() -> list[FieldSpec]:
    """Every field that counts, whoever may see it."""
    return counted_specs(field_specs())


def report_list() -> Select[Any]:
    """Reports of the whole base."""
    return select(QualityReport)


def run_by_id(run_id: int) -> CleaningRun:
    """One cleaning run; raises NotFound."""
    found = session().get(CleaningRun, run_id, populate_existing=True)
    if found is None:
        raise NotFound(f"there is no cleaning run {run_id}")
    return found


def problem_counts(run_id: int) -> list[Any]:
    """How many values of each field have which problem."""
    columns = (CleaningItem.field, CleaningItem.problem)
    counted = select(*columns, func.count().label("values")).where(CleaningItem.run_id == run_id)
    return list(session().execute(counted.group_by(*columns).order_by(*columns)))


def item_list(run_id: int, hidden: Collection[str]) -> Select[Any]:
    """What a run would do, or did, value by value.

    :param hidden: fields of which the values are not shown
    """
    shown = (CleaningItem.value_id, CleaningItem.person_id, CleaningItem.field, CleaningItem.problem)
    veiled, masked = CleaningItem.field.in_(hidden), literal("***", JSONB)
    before = case((veiled, masked), else_=CleaningItem.row["value"]).label("before")
    after = case((veiled & CleaningItem.after.is_not(None), masked), else_=CleaningItem.after).label("after")
    return select(*shown, before, after, CleaningItem.applied).where(CleaningItem.run_id == run_id)

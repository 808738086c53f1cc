"""Traits worked out step by step, all at once, and by a slow and simple reference: the same values."""

from collections import Counter
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from scrm.behaviour.models import EventType
from scrm.kernel.clock import in_zone, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.settings import settings as corp_settings
from scrm.portraits.models import TraitValue
from scrm.portraits.traits.service import computing
from scrm.portraits.traits.service.defining import define
from tests.profiles import examples

NUMBER, TEXT = "seconds", "page"
PROPERTIES = st.fixed_dictionaries(
    {}, optional={NUMBER: st.integers(-2, 3) | st.just(1.5), TEXT: st.sampled_from(["a", "B", "é"])}
)
EVENTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 5, 6, 40]), PROPERTIES), max_size=12)
MEASURES: list[tuple[str, Any]] = [
    ("count", None),
    *((measure, NUMBER) for measure in ("sum", "avg", "min", "max", "first", "last")),
    *((measure, name) for measure in ("most_frequent", "unique_count", "unique_list") for name in (NUMBER, TEXT)),
    ("first", TEXT), ("last", TEXT), ("min", "at"), ("max", "at"),
]  # fmt: skip
FILTERS = st.sampled_from(
    [
        [], [{"field": NUMBER, "op": "gte", "value": 1}], [{"field": TEXT, "op": "in", "value": ["a", "é"]}],
        [{"field": TEXT, "op": "ne", "value": "a"}, {"field": NUMBER, "op": "lt", "value": 2.5}],
    ]
)  # fmt: skip


def holds(properties, one):
    if one["field"] not in properties:
        return False
    value, wanted = properties[one["field"]], one["value"]
    return {
        "gte": lambda: value >= wanted, "in": lambda: value in wanted, "ne": lambda: value != wanted,
        "lt": lambda: value < wanted,
    }[one["op"]]()  # fmt: skip


def reference(events, definition):
    """person -> value of [(person, at, days, properties)], in order of arrival."""
    found = {}
    for person, at, days, properties in events:
        seen = {**properties, "at": at, None: 1}
        inside = definition["window_days"] is None or days <= definition["window_days"]
        if (
            inside
            and definition["field"] in seen
            and all(holds(properties, f) for f in definition["filters"])
        ):
            found.setdefault(person, []).append((at, seen[definition["field"]]))
    return {person: one_value(definition["measure"], rows) for person, rows in found.items()}


def one_value(measure, rows):
    values = [Decimal(str(v)) if isinstance(v, int | float) else v for _, v in rows]
    by_time = [v for _, v in sorted(zip((at for at, _ in rows), values, strict=True), key=lambda row: row[0])]
    newest = max(at for at, _ in rows)
    counted = Counter(values)
    return {
        "count": lambda: len(values), "sum": lambda: sum(values), "min": lambda: min(values), "max": lambda: max(values),
        "avg": lambda: (sum(values) / len(values)).quantize(Decimal("0.000001")),
        "first": lambda: by_time[0],
        "last": lambda: [v for v, (at, _) in zip(values, rows, strict=True) if at == newest][-1],
        "most_frequent": lambda: min(v for v, n in counted.items() if n == max(counted.values())),
        "unique_count": lambda: len(counted), "unique_list": lambda: sorted(counted),
    }[measure]()  # fmt: skip


def kept(session, trait):
    rows = session.scalars(
        select(TraitValue).where(TraitValue.trait_id == trait.id).execution_options(populate_existing=True)
    )
    found = {}
    for row in rows:
        (value,) = (
            v for v in (row.value_num, row.value_text, row.value_time, row.value_list) if v is not None
        )
        found[row.person_id] = [Decimal(str(v)) if isinstance(v, int | float) else v for v in value] if isinstance(
            value, list
        ) else value  # fmt: skip
    return found


def event_type(session):
    properties = [
        {"key": key, "type": kind, "name_zh": key, "name_en": key, "required": False}
        for key, kind in ((NUMBER, "number"), (TEXT, "text"))
    ]
    made = EventType(key="viewed", name_zh="浏览", name_en="viewed", properties=properties)
    session.add(made)
    session.flush()
    return made


def write(session, type_id, number, person, at, properties):
    session.execute(
        text("""INSERT INTO behaviour_events (at, person_id, type_id, properties, source, source_id)
          VALUES (:at, :person, :type, CAST(:properties AS jsonb), 'site', :number)"""),
        {
            "at": at, "person": person, "type": type_id, "properties": orjson.dumps(properties).decode(),
            "number": str(number),
        },
    )  # fmt: skip


@examples(60)
@given(
    batches=st.lists(EVENTS, min_size=1, max_size=3), measured=st.sampled_from(MEASURES), filters=FILTERS,
    window=st.sampled_from([None, 5]),
)  # fmt: skip
def test_step_by_step_at_once_and_the_reference_agree(session, batches, measured, filters, window):
    session.expunge_all()
    for table in ("trait_wanted", "trait_values", "traits", "behaviour_events", "event_types"):
        session.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    kind = event_type(session)
    definition = {
        "source": "events", "event_type": "viewed", "measure": measured[0], "field": measured[1],
        "filters": filters, "window_days": window,
    }  # fmt: skip
    with transaction():
        trait = define("t", ("一", "t"), definition)
    noon = in_zone(utcnow(), corp_settings().corp.zone).replace(hour=12, minute=0, second=0, microsecond=0)
    everything = []
    for batch in batches:
        for person, days, properties in batch:
            at = (noon - timedelta(days=days)).astimezone(UTC)
            write(session, kind.id, len(everything), person, at, properties)
            everything.append((person, at, days, properties))
        with transaction():
            computing.want([(person, kind.id) for person, _, _ in batch])
        with transaction():
            computing.compute_wanted(1000)
        assert kept(session, trait) == reference(everything, definition)
    before = session.execute(text("SELECT xmin::text, ctid::text FROM trait_values")).all()
    with transaction():
        computing.compute_for_everybody(trait.id)
    assert session.execute(text("SELECT xmin::text, ctid::text FROM trait_values")).all() == before
    session.execute(text("DELETE FROM trait_values"))
    with transaction():
        computing.compute_for_everybody(trait.id)
    assert kept(session, trait) == reference(everything, definition)

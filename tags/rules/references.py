"""What a condition refers to: rows that must exist, and what people call them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, BigInteger, column, func, literal, select, table
from sqlalchemy.dialects.postgresql import JSONB

from scrm.kernel.db import session
from scrm.people.queries.fields import field_specs
from scrm.value.queries.settings import stages
from tags.rules.fields import PERSON, person_key
from tags.rules.leaves import Names
from tags.rules.tree import Node


@dataclass(frozen=True)
class Called:
    """Where referenced rows live and what they are called.

    :param noun: for messages: "there is no <noun> with the id 5"
    :param zh: column of the name; ``en`` of the English one, where there are two
    :param deletable: rows with ``deleted_at`` are no longer there
    """

    noun: str
    zh: str = "name"
    en: str = "name"
    deletable: bool = False


# By name: some of them belong to packages further down the data's way.
CALLED = {
    "tags": Called("tag", deletable=True),
    "tag_groups": Called("tag group", deletable=True),
    "staff": Called("member of staff"),
    "departments": Called("department", deletable=True),
    "customer_groups": Called("customer group"),
    "channel_codes": Called("channel code"),
    "acquisition_links": Called("acquisition link"),
    "group_codes": Called("group code"),
    "event_types": Called("event type", "name_zh", "name_en"),
    "products": Called("product"),
    "traits": Called("trait", "name_zh", "name_en"),
    "audiences": Called("audience", deletable=True),
}


def references(node: Node) -> dict[tuple[str, int], str]:
    """(table, id) → the place in the tree that refers to it first."""
    found: dict[tuple[str, int], str] = {}
    for leaf, each in node.leaves():
        for argument, table_name in leaf.refers.items():
            for path, id_ in _ids(each.args, argument):
                found.setdefault((table_name, id_), f"{each.path}.{path}")
    return found


def _ids(args: Mapping[str, Any], argument: str) -> Iterator[tuple[str, int]]:
    """Path and id of everything that an argument such as ``tag_ids`` or ``then.event_type_id`` names."""
    value: Any = args
    for key in argument.split("."):
        value = (value or {}).get(key)
    if isinstance(value, int):
        yield argument, value
    else:
        yield from ((f"{argument}.{i}", id_) for i, id_ in enumerate(value or ()))


def reference_names(*nodes: Node) -> Names:
    """(table, id) → name of every row that the trees refer to and that exists; one query a table."""
    ids = defaultdict(set)
    for node in nodes:
        for table_name, id_ in references(node):
            ids[table_name].add(id_)
    leaves = [leaf for node in nodes for _, leaf in node.leaves()]
    found: dict[tuple[str, int | str], str] = {}
    for table_name, wanted in ids.items():
        for row in _rows(table_name, sorted(wanted)):
            found[table_name, row.id] = row.zh or f"#{row.id}"
            found[f"{table_name}/zh", row.id] = row.zh or f"#{row.id}"
            found[f"{table_name}/en", row.id] = row.en or f"#{row.id}"
            found |= _property_names(row) if table_name == "event_types" else {}
    return found | _field_names(leaves) | _stage_names(leaves)


def _rows(table_name: str, ids: list[int]) -> Any:
    called = CALLED[table_name]
    names: list[Any] = [column(name) for name in sorted({called.zh, called.en})]
    properties = column("properties", JSONB)
    rows = table(table_name, column("id", BigInteger), column("deleted_at"), properties, *names)
    told = [rows.c.id, rows.c[called.zh].label("zh"), rows.c[called.en].label("en")]
    if table_name == "event_types":
        told.append(properties)
    statement = select(*told).where(rows.c.id == func.any(literal(ids, ARRAY(BigInteger))))
    return session().execute(statement.where(rows.c.deleted_at.is_(None)) if called.deletable else statement)


def _property_names(row: Any) -> dict[tuple[str, int | str], str]:
    return {
        (f"properties/{language}", f"{row.id}.{each['key']}"): each[f"name_{language}"]
        for each in row.properties
        for language in ("zh", "en")
        if each.get(f"name_{language}")
    }


def _field_names(leaves: Iterable[Node]) -> dict[tuple[str, int | str], str]:
    """Names of the fields of people that leaves look at, and of their choices."""
    asked = [each.args.get("field") for each in leaves]
    keys = {person_key(name)[0] for name in asked if isinstance(name, str) and name.startswith(PERSON)}
    if not keys:
        return {}
    specs = [spec for key, spec in field_specs(archived=True).items() if key in keys]
    found: dict[tuple[str, int | str], str] = {}
    for spec in specs:
        found["fields/zh", spec.key], found["fields/en", spec.key] = spec.name_zh, spec.name_en
        for choice in spec.choices:
            for language in ("zh", "en"):
                found[f"choices/{language}", f"{spec.key}.{choice['value']}"] = choice[language]
    return found


def _stage_names(leaves: Iterable[Node]) -> dict[tuple[str, int | str], str]:
    """Names of the stages of the lifecycle, when a leaf asks for any."""
    if not any("stages" in each.args for each in leaves):
        return {}
    return {
        (f"stages/{language}", stage["key"]): stage[f"name_{language}"]
        for stage in stages()
        for language in ("zh", "en")
    }

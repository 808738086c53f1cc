"""Trees of ten leaves of tags and attributes."""

from __future__ import annotations

from random import Random
from typing import Any

from scrm.cli.company_data.people import CITIES
from tests.bench.questions.shapes import HELD, Question, days_back, has, ids, tags_of, texts


def all_of_ten(chooser: Random) -> Question:
    """Seven leaves of tags, three of attributes, all of them."""
    a, b, c, d, e, f, g = tags_of(chooser, 7, upto=5)
    cities, ways = chooser.sample(CITIES, 4), [1, chooser.choice((3, 16))]
    attributes: list[dict[str, Any]] = [
        {"kind": "field", "field": "person.gender", "op": "equals", "value": "female"},
        {"kind": "field", "field": "person.address.city", "op": "any_of", "values": cities},
        {"kind": "follow", "add_ways": ways},
    ]
    tree = {"all": [{"any": [has(a), has(b)]}, {"not": has(c)}, {"any": [has(d), has(e)]}, {"not": {"all": [has(f), has(g)]}},
                    *attributes]}  # fmt: skip
    grouped = """SELECT customer_id FROM {table} WHERE tag_id IN ({tags}) {held} GROUP BY customer_id
        HAVING bool_or(tag_id IN ({ab})) AND NOT bool_or(tag_id = {c}) AND bool_or(tag_id IN ({de}))
        AND NOT (bool_or(tag_id = {f}) AND bool_or(tag_id = {g}))"""
    named = {"tags": ids([a, b, c, d, e, f, g]), "ab": ids([a, b]), "de": ids([d, e]), "c": c, "f": f, "g": g}
    bare = grouped.format(table="customer_tags", held="", **named)
    postgres = f"""SELECT count(*) FROM ({grouped.format(table="tag_assignments", held=f"AND {HELD}", **named)}) t
        JOIN customer_people p USING (customer_id)
        WHERE EXISTS (SELECT FROM person_fields f WHERE f.person_id = p.person_id AND field = 'gender' AND value_text = 'female')
        AND EXISTS (SELECT FROM person_fields f WHERE f.person_id = p.person_id AND field = 'address'
                    AND value ->> 'city' IN ({texts(cities)}))
        AND EXISTS (SELECT FROM follows f WHERE f.customer_id = t.customer_id AND status IN ('active', 'half')
                    AND add_way IN ({ids(ways)}))"""
    others = f"""SELECT count(*) FROM ({bare}) AS t
        WHERE customer_id IN (SELECT customer_id FROM customer_people WHERE person_id IN (SELECT person_id FROM people
            WHERE gender = 'female' AND city IN ({texts(cities)})))
        AND customer_id IN (SELECT customer_id FROM follows WHERE status IN ('active', 'half') AND add_way IN ({ids(ways)}))"""
    return Question(
        "all of ten", "tags", tree, {"postgres": postgres, "duckdb": others, "chdb": _counted(others)}
    )


def five_pairs(chooser: Random) -> Question:
    """Five times one of two tags."""
    tags = tags_of(chooser, 10, upto=8)
    pairs = list(zip(tags[::2], tags[1::2], strict=True))
    tree = {"all": [{"any": [has(one), has(other)]} for one, other in pairs]}
    held = " AND ".join(f"bool_or(tag_id IN ({ids(pair)}))" for pair in pairs)
    asked = "SELECT count(*) FROM (SELECT customer_id FROM {table} WHERE tag_id IN ({tags}) {held} GROUP BY customer_id HAVING {having}) AS t"
    bare = asked.format(table="customer_tags", tags=ids(tags), held="", having=held)
    return Question("five pairs", "tags", tree, {
        "postgres": asked.format(table="tag_assignments", tags=ids(tags), held=f"AND {HELD}", having=held),
        "duckdb": bare, "chdb": _counted(bare),
    })  # fmt: skip


def any_of_three(chooser: Random) -> Question:
    """Three ways of being meant, ten leaves in all."""
    a, b, x, y, z = tags_of(chooser, 5, upto=4)
    city, born, added = chooser.choice(CITIES), days_back(chooser, 1), days_back(chooser, 200)
    first, last = f"{born.end.year - 40}-01-01", f"{born.end.year - 25}-12-31"
    tree = {"any": [
        {"all": [has(a), {"kind": "field", "field": "customer.gender", "op": "equals", "value": 2},
                 {"kind": "field", "field": "follow.add_way", "op": "any_of", "values": [1, 3]}]},
        {"all": [{"not": has(b)}, {"kind": "field", "field": "person.birthday", "op": "between", "values": [first, last]},
                 {"kind": "follow", "added": added.window}]},
        {"all": [has(x), has(y), {"not": has(z)},
                 {"kind": "field", "field": "person.address.city", "op": "equals", "value": city}]},
    ]}  # fmt: skip
    tag = f"id IN (SELECT customer_id FROM tag_assignments WHERE tag_id = {{}} AND {HELD})"
    person = "id IN (SELECT customer_id FROM customer_people JOIN person_fields USING (person_id) WHERE {})"
    live = "id IN (SELECT customer_id FROM follows WHERE status IN ('active', 'half') AND {})"
    postgres = f"""SELECT count(*) FROM customers WHERE
        ({tag.format(a)} AND gender = 2 AND {live.format("add_way IN (1, 3)")})
        OR (NOT {tag.format(b)}
            AND {person.format(f"field = 'birthday' AND value_text BETWEEN '{first}' AND '{last}'")}
            AND {live.format(added.inside("added_at"))})
        OR ({tag.format(x)} AND {tag.format(y)} AND NOT {tag.format(z)}
            AND {person.format(f"field = 'address' AND value ->> 'city' = '{city}'")})"""
    tag = "id IN (SELECT customer_id FROM customer_tags WHERE tag_id = {})"
    person = "id IN (SELECT customer_id FROM customer_people WHERE person_id IN (SELECT person_id FROM people WHERE {}))"
    others = f"""SELECT count(*) FROM customers WHERE
        ({tag.format(a)} AND gender = 2 AND {live.format("add_way IN (1, 3)")})
        OR (NOT {tag.format(b)} AND {person.format(f"birthday BETWEEN '{first}' AND '{last}'")}
            AND {live.format(added.bare("added_at"))})
        OR ({tag.format(x)} AND {tag.format(y)} AND NOT {tag.format(z)} AND {person.format(f"city = '{city}'")})"""
    return Question("any of three", "tags", tree, {"postgres": postgres, "duckdb": others, "chdb": others})


def _counted(statement: str) -> str:
    """chDB has no bool_or."""
    return statement.replace("bool_or(", "max(")


QUESTIONS = (all_of_ten, five_pairs, any_of_three)

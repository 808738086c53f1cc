"""Reading traits and their values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, literal_column, select

from scrm.kernel.db import session
from scrm.kernel.errors import NotFound
from scrm.kernel.permissions import Scope
from scrm.people.queries.people import visible_people, whole_person
from scrm.portraits.models import Trait, TraitValue
from scrm.portraits.queries import portrait_section


def trait_by_id(trait_id: int) -> Trait:
    """One trait; raises NotFound."""
    found = session().get(Trait, trait_id, populate_existing=True)
    if found is None:
        raise NotFound(f"there is no trait {trait_id}")
    return found


def value_list(scope: Scope, trait_id: int) -> Select[Any]:
    """Values of one trait, of visible persons; raises NotFound when there is no such trait."""
    trait_by_id(trait_id)
    return select(TraitValue).where(
        TraitValue.trait_id == trait_id, visible_people(scope, TraitValue.person_id)
    )


def values_of(scope: Scope, person_id: int) -> list[dict[str, Any]]:
    """Every trait that one person has; raises NotFound, also outside the scope."""
    found = whole_person(scope, person_id)
    rows = session().execute(
        select(Trait, TraitValue)
        .join(TraitValue, TraitValue.trait_id == Trait.id)
        .where(TraitValue.person_id == found)
        .order_by(Trait.id)
        .execution_options(populate_existing=True)
    )
    return [
        {
            "trait_id": trait.id, "key": trait.key, "name_zh": trait.name_zh, "name_en": trait.name_en,
            "value": shown(value), "computed_at": value.computed_at,
        }
        for trait, value in rows
    ]  # fmt: skip


def shown(value: TraitValue) -> Any:
    """A value as the API shows it: numbers as text with every digit, times in ISO 8601."""
    if value.value_num is not None:
        return format(value.value_num.normalize(), "f")
    if value.value_time is not None:
        return value.value_time.isoformat()
    return value.value_text if value.value_list is None else value.value_list


@portrait_section("traits")
def traits_section() -> ColumnElement[Any]:
    """Traits of the person behind a customer, by key."""
    return literal_column("""(SELECT COALESCE(json_object_agg(t.key, COALESCE(to_jsonb(CAST(v.value_num AS text)),
        to_jsonb(v.value_time), to_jsonb(v.value_text), v.value_list)), '{}')
      FROM customer_people cp JOIN trait_values v ON v.person_id = cp.person_id JOIN traits t ON t.id = v.trait_id
      WHERE cp.customer_id = customers.id)""")

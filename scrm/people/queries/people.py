"""Reading persons. A person is visible when one of their customers is; one without customers to unlimited keys only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, select, true
from sqlalchemy.orm import aliased

from scrm.customers.models import Customer
from scrm.customers.queries import customer_by_id, visible
from scrm.kernel.db import session
from scrm.kernel.errors import Conflict, NotFound
from scrm.kernel.permissions import Actor, Permission, Scope
from scrm.people.models import (
    BlockedValue,
    CustomerPerson,
    Merge,
    Person,
    PersonConsent,
    PersonField,
    PersonIdentity,
    PersonMatch,
    PersonValue,
)
from scrm.people.queries.fields import FieldSpec, field_specs
from scrm.people.queries.survivors import survivors


def visible_people(scope: Scope, person_id: Any = Person.id) -> ColumnElement[bool]:
    """The clause that limits a select of persons to a scope.

    :param person_id: the column that names the person
    """
    if scope.everyone:
        return true()
    of = aliased(CustomerPerson)
    return exists(
        select(of.customer_id)
        .join(Customer, Customer.id == of.customer_id)
        .where(of.person_id == person_id, visible(scope))
        .correlate_except(of, Customer)
    )


def blocked_list(query: Mapping[str, Any]) -> Select[Any]:
    """Values that identify nobody any more, of one kind only."""
    statement = select(BlockedValue)
    return statement.where(BlockedValue.kind == query["kind"]) if query.get("kind") else statement


def whole_person(scope: Scope, person_id: int) -> int:
    """The person behind a number, also of one who was merged; raises NotFound, also outside the scope."""
    found = visible_survivor(scope, person_id)
    if found is None:
        raise NotFound(f"there is no person {person_id}, or it lies outside this key's data scope")
    return found


def visible_survivor(scope: Scope, person_id: int) -> int | None:
    """The person behind a number, also of one who was merged; None: nobody, or outside the scope."""
    found = survivors([person_id]).get(person_id)
    return (
        session().scalar(select(Person.id).where(Person.id == found, visible_people(scope)))
        if found
        else None
    )


def person_of_customer(scope: Scope, customer_id: int) -> int:
    """The person of a visible customer.

    :raises NotFound: no such customer in scope
    :raises Conflict: a customer of before there were persons, whom the job has not linked yet
    """
    customer_by_id(scope, customer_id)
    found = session().scalar(
        select(CustomerPerson.person_id).where(CustomerPerson.customer_id == customer_id)
    )
    if found is None:
        raise Conflict(f"customer {customer_id} is not linked to a person yet; ask again in some minutes")
    return found


def person(actor: Actor, person_id: int) -> dict[str, Any]:
    """Everything that is known of one person, as far as the actor may see it.

    Identities, and phones and addresses among the fields, are masked without ``people:write``.
    """
    found = whole_person(actor.scope, person_id)
    plain = Permission.PEOPLE_WRITE in actor.permissions
    current = session()
    of = {"person_id": found}
    identities = current.scalars(select(PersonIdentity).filter_by(**of).order_by(PersonIdentity.id))
    consents = current.scalars(select(PersonConsent).filter_by(**of).order_by(PersonConsent.channel))
    customers = select(CustomerPerson.customer_id).join(Customer, Customer.id == CustomerPerson.customer_id)
    merges = select(Merge).where(Merge.kept_id == found, Merge.undone_at.is_(None)).order_by(Merge.id)
    return {
        "id": found,
        "identities": [
            {"kind": i.kind, "value": i.value if plain else masked(i.value), "source": i.source, "since": i.since}
            for i in identities
        ],
        "fields": _fields(actor, found, plain),
        "customer_ids": list(
            current.scalars(customers.where(CustomerPerson.person_id == found, visible(actor.scope)))
        ),
        "consents": list(consents),
        "merged": list(current.scalars(merges)),
    }  # fmt: skip


def seen_specs(actor: Actor) -> dict[str, FieldSpec]:
    """The fields that an actor may see, in order."""
    held = {str(permission) for permission in actor.permissions}
    return {k: s for k, s in field_specs().items() if not s.seen_with or held & set(s.seen_with)}


MASKED_TYPES = {"phone", "email", "address"}


def _fields(actor: Actor, person_id: int, plain: bool) -> list[dict[str, Any]]:
    rows = session().scalars(
        select(PersonField)
        .where(PersonField.person_id == person_id)
        .execution_options(populate_existing=True)
    )
    standing = {row.field: row for row in rows}
    return [
        {
            "key": key, "type": spec.type, "name_zh": spec.name_zh, "name_en": spec.name_en,
            "required": spec.required,
            "value": _shown(spec, standing[key].value, plain) if key in standing else None,
            "source": standing[key].source if key in standing else None,
            "at": standing[key].at if key in standing else None,
        }
        for key, spec in seen_specs(actor).items()
    ]  # fmt: skip


def _shown(spec: FieldSpec, value: Any, plain: bool) -> Any:
    if plain or spec.type not in MASKED_TYPES or value is None:
        return value
    if isinstance(value, dict):  # of an address, what says where about
        return {part: text for part, text in value.items() if part in {"country", "province", "city"}}
    return masked(value)


def masked(value: str) -> str:
    """A value that can be recognised and not read: the first three characters and the last two of long ones."""
    return "***" if len(value) < 7 else f"{value[:3]}***{value[-2:]}"


def said_of(actor: Actor, person_id: int, field: str) -> list[dict[str, Any]]:
    """Everything that was said of one field, newest first; raises NotFound for a field that may not be seen."""
    found = whole_person(actor.scope, person_id)
    spec = seen_specs(actor).get(field)
    if spec is None:
        raise NotFound(f"there is no field {field}, or this key may not see it")
    plain = Permission.PEOPLE_WRITE in actor.permissions
    rows = session().scalars(
        select(PersonValue)
        .filter_by(person_id=found, field=field)
        .order_by(PersonValue.at.desc(), PersonValue.id.desc())
        .limit(200)
    )
    return [{"value": _shown(spec, row.value, plain), "source": row.source, "at": row.at} for row in rows]


def match_list(scope: Scope, filters: dict[str, Any]) -> Select[Any]:
    """Pairs put side by side; to a limited key those of which both are visible."""
    statement = select(PersonMatch).where(
        visible_people(scope, PersonMatch.low_id), visible_people(scope, PersonMatch.high_id)
    )
    for name in ("state", "kind"):
        if name in filters:
            statement = statement.where(getattr(PersonMatch, name) == filters[name])
    return statement


def check_match_visible(scope: Scope, match_id: int) -> None:
    """Raises NotFound when there is no such match in scope."""
    if session().scalar(match_list(scope, {}).where(PersonMatch.id == match_id)) is None:
        raise NotFound(f"there is no match {match_id}, or it lies outside this key's data scope")


def merge_list(scope: Scope, person_id: int | None) -> Select[Any]:
    """Merges, of one person if one is named."""
    statement = select(Merge).where(visible_people(scope, Merge.kept_id))
    return statement if person_id is None else statement.where(Merge.kept_id == person_id)


def check_people_visible(scope: Scope, person_ids: Iterable[int]) -> None:
    """Raises NotFound for the first person who is not visible."""
    for person_id in person_ids:
        whole_person(scope, person_id)


def check_merge_visible(scope: Scope, merge_id: int) -> None:
    """Raises NotFound when there is no such merge in scope."""
    if session().scalar(merge_list(scope, None).where(Merge.id == merge_id)) is None:
        raise NotFound(f"there is no merge {merge_id}, or it lies outside this key's data scope")

"""What conditions say about the person behind a customer: what is known, done and bought by anybody that person is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, exists, literal, select

from scrm.customers.models import Customer
from scrm.people.models import CustomerPerson


def person_has(model: Any, *clauses: Any) -> ColumnElement[bool]:
    """The customer's person has a row of ``model`` (a table with ``person_id``) for which all ``clauses`` hold."""
    return (
        exists()
        .where(
            CustomerPerson.customer_id == Customer.id,
            model.person_id == CustomerPerson.person_id,
            *clauses,
        )
        .correlate(Customer)
    )


def person_counts(person_id: Any, clauses: list[Any], having: Any) -> ColumnElement[bool]:
    """The rows of the customer's person that ``clauses`` pick fulfil ``having``; for a few customers.

    :param person_id: the column that names the person
    """
    return (
        select(literal(1))
        .select_from(CustomerPerson)
        .join(person_id.class_, person_id == CustomerPerson.person_id)
        .where(CustomerPerson.customer_id == Customer.id, *clauses)
        .group_by(CustomerPerson.customer_id)
        .having(having)
        .correlate(Customer)
        .exists()
    )


def is_one_of_persons(person_ids: Select[Any]) -> ColumnElement[bool]:
    """The customer's person is among those that are selected, which is worked out once; for questions about everybody."""
    customer_ids = select(CustomerPerson.customer_id).where(CustomerPerson.person_id.in_(person_ids))
    return Customer.id.in_(customer_ids)


def customers_of(person_ids: Select[Any]) -> Select[Any]:
    """Ids of the customers of selected persons."""
    return select(CustomerPerson.customer_id).where(CustomerPerson.person_id.in_(person_ids))

"""What conditions say about the person behind a customer: what is known, done and bought by anybody that person is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, literal, select

from scrm.customers.models import Customer
from scrm.people.models import CustomerPerson

PersonHas = Callable[..., ColumnElement[bool]]
"""A table with ``person_id`` and clauses → the customer's person has such a row; one of the two forms below."""


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


def of_person(value: Any, person_id: Any, *clauses: Any) -> ColumnElement[Any]:
    """``value`` of the rows of the customer's person that ``clauses`` pick; an aggregate, or of one row at most.

    :param person_id: the column that names the person
    """
    return (
        select(value)
        .select_from(CustomerPerson)
        .join(person_id.class_, person_id == CustomerPerson.person_id)
        .where(CustomerPerson.customer_id == Customer.id, *clauses)
        .correlate(Customer)
        .scalar_subquery()
    )


def is_one_of_persons(person_ids: Select[Any]) -> ColumnElement[bool]:
    """The customer's person is among those that are selected, which is worked out once; for questions about everybody."""
    return Customer.id.in_(customers_of(person_ids))


def counts_of_persons(grouped: Select[Any]) -> ColumnElement[bool]:
    """The customer's person is among those that are selected in groups; for questions about everybody.

    The groups are made before anything is joined with them: PostgreSQL would else have every parallel worker make all of
    them for itself (two workers and two cores: 2.7 s instead of 1.1).

    :param grouped: persons, each once
    """
    return is_one_of_persons(select(grouped.cte().prefix_with("MATERIALIZED").c[0]))


def is_of_person_with(model: Any, *clauses: Any) -> ColumnElement[bool]:
    """What :func:`person_has` says, as a set that is worked out once; for questions about everybody."""
    return is_one_of_persons(select(model.person_id).where(*clauses))


def customers_of(person_ids: Select[Any]) -> Select[Any]:
    """Ids of the customers of selected persons."""
    return select(CustomerPerson.customer_id).where(CustomerPerson.person_id.in_(person_ids))

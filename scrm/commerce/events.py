"""What can happen to products and orders; told once per batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Step(NamedTuple):
    """An order of a person reached a status."""

    order_id: int
    person_id: int
    status: str
    at: datetime


@dataclass(frozen=True)
class OrdersChanged:
    """Orders of these persons are new or changed, their lines and statuses included.

    :param person_ids: everybody concerned, also who lost an order to another person; sorted
    :param steps: every status change of the changed orders whose person is known, for timelines; may repeat earlier ones
    :param made: orders that are told of for the first time; before, nobody knew whose they are
    :param new_steps: those of ``steps`` that were not told before
    """

    person_ids: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    made: frozenset[int] = frozenset()
    new_steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class ProductsChanged:
    """These products are new or changed, or lines got to know them: orders with them read differently."""

    product_ids: tuple[int, ...]

"""Customers whose person ordered, so often or for so much; or did not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Regexp
from sqlalchemy import ColumnElement, Select, exists, select

from scrm.commerce.models import Order, OrderLine, OrderStatus, Product
from scrm.kernel.schemas import Schema
from tags.rules.condition_shapes import nullable, shape_of
from tags.rules.leaves import (
    Args,
    Language,
    Leaf,
    Names,
    ids_field,
    listed,
    quoted,
    texts_field,
)
from tags.rules.measures import (
    FIGURES,
    amount_of,
    check_measure,
    happens_at_least_once,
    happens_never,
    measure_fields,
    measure_variants,
    measure_words,
    measured,
)
from tags.rules.persons import (
    counts_of_persons,
    customers_of,
    is_one_of_persons,
    of_person,
    person_counts,
    person_has,
)
from tags.rules.windows import leaving, window_words, within

TIMES = {
    "placed": Order.placed_at, "paid": Order.paid_at, "shipped": Order.shipped_at, "completed": Order.completed_at,
    "cancelled": Order.cancelled_at, "refunded": Order.refunded_at,
}  # fmt: skip
TIME_WORDS = {
    "placed": ("下单", "placed"), "paid": ("付款", "paid"), "shipped": ("发货", "shipped"),
    "completed": ("完成", "completed"), "cancelled": ("取消", "cancelled"), "refunded": ("退款", "refunded"),
}  # fmt: skip
FILTERS = {
    "statuses": Order.status, "shops": Order.shop, "regions": Order.region, "sellers": Order.seller,
}  # fmt: skip
FILTER_WORDS = {
    "statuses": ("状态", "status"), "shops": ("门店", "shop"), "regions": ("地区", "region"), "sellers": ("导购", "seller"),
    "categories": ("品类", "category"), "brands": ("品牌", "brand"),
}  # fmt: skip
STATUS_WORDS = {
    "placed": ("已下单", "placed"), "paid": ("已付款", "paid"), "shipped": ("已发货", "shipped"),
    "completed": ("已完成", "completed"), "cancelled": ("已取消", "cancelled"), "refunded": ("已退款", "refunded"),
}  # fmt: skip
COUNTED = Schema.from_dict(measure_fields(), name="CountedOrders")
CURRENCY_PATTERN = r"^[A-Z]{3}$"


class OrderArgs(COUNTED):  # type: ignore[valid-type,misc]  # made of shared fields
    """Arguments: how many orders (or how much money) in which window of which of their times, and filters.

    Orders that never got to that time do not count. Money wants one currency: amounts of several cannot be added.
    """

    time = fields.String(load_default="placed", validate=OneOf(list(TIMES)))
    statuses = fields.List(
        fields.String(validate=OneOf([each.value for each in OrderStatus])),
        validate=Length(1, len(OrderStatus)),
        load_default=None,
    )
    shops = texts_field(load_default=None)
    regions = texts_field(load_default=None)
    sellers = texts_field(load_default=None)
    product_ids = ids_field(load_default=None)
    categories = texts_field(load_default=None)
    brands = texts_field(load_default=None)
    currency = fields.String(load_default=None, validate=Regexp(CURRENCY_PATTERN))

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **kwargs: Any) -> None:
        check_measure(data)
        if data["measure"] in FIGURES and data["currency"] is None:
            raise ValidationError(f"is required by {data['measure']}, such as CNY", "currency")


def _reads(args: Args) -> set[str]:
    """What a product is called and belongs to may change after it was bought."""
    return {"orders", "products"} if args["categories"] or args["brands"] else {"orders"}


def _clauses(args: Args) -> list[Any]:
    """What does not depend on the time."""
    found: list[Any] = [TIMES[args["time"]].is_not(None)]
    found += [column.in_(args[name]) for name, column in FILTERS.items() if args[name]]
    if args["currency"]:
        found.append(Order.currency == args["currency"])
    if args["product_ids"]:
        found.append(_has_line(OrderLine.product_id.in_(args["product_ids"])))
    described = [
        column.in_(args[name])
        for name, column in (("categories", Product.category), ("brands", Product.brand))
        if args[name]
    ]
    if described:
        found.append(_has_line(OrderLine.product_id.in_(select(Product.id).where(*described))))
    return found


def _has_line(clause: Any) -> ColumnElement[bool]:
    return exists().where(OrderLine.order_id == Order.id, clause).correlate(Order)


def _timed(args: Args, now: datetime) -> list[Any]:
    moment = TIMES[args["time"]]
    return [within(moment, args["window"], now), *_clauses(args)] if args["window"] else _clauses(args)


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    clauses = _timed(args, now)
    return measured(
        args,
        TIMES[args["time"]],
        Order.amount,
        lambda having: person_counts(Order.person_id, clauses, having),
        person_has(Order, *clauses),
    )


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    people = select(Order.person_id).where(Order.person_id.is_not(None), *_timed(args, now))
    grouped = people.group_by(Order.person_id)
    return measured(
        args,
        TIMES[args["time"]],
        Order.amount,
        lambda having: counts_of_persons(grouped.having(having)),
        is_one_of_persons(people),
    )


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    return of_person(amount_of(args, TIMES[args["time"]], Order.amount), Order.person_id, *_timed(args, now))


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    crossed = leaving(TIMES[args["time"]], args["window"], since, until)
    return (
        customers_of(select(Order.person_id).where(crossed, *_clauses(args))) if crossed is not None else None
    )


def _words(args: Args, language: Language, names: Names) -> str:
    zh = language == "zh"
    when, moment = window_words(args["window"], language), TIME_WORDS[args["time"]][0 if zh else 1]
    what = ("的订单" if zh else "orders") + _filter_words(args, zh, names)
    money = ("金额" if zh else "amount") + f"（{args['currency']}）" if args["currency"] else ""
    if happens_at_least_once(args):
        return f"{when}有{moment}{what}" if zh else " ".join(filter(None, ["has", what, moment, when]))
    if happens_never(args):
        return f"{when}没有{moment}{what}" if zh else " ".join(filter(None, ["has no", what, moment, when]))
    much = measure_words(args, money, ("笔", "of them"), language)
    return (
        f"{when}{moment}{what}{much}"
        if zh
        else " ".join(filter(None, ["has", what, moment, when + ",", much]))
    )


def _filter_words(args: Args, zh: bool, names: Names) -> str:
    told = []
    for name, (chinese, english) in FILTER_WORDS.items():
        if values := args[name]:
            shown = [STATUS_WORDS[v][0 if zh else 1] if name == "statuses" else v for v in values]
            told.append(f"{chinese}{quoted(shown)}" if zh else f"{english} {quoted(shown)}")
    if args["product_ids"]:
        products = listed(args["product_ids"], "products", names)
        told.append(f"含商品{products}" if zh else f"with {products}")
    if args["currency"] and args["measure"] not in FIGURES:
        told.append(args["currency"])
    if not told:
        return ""
    return f"（{'，'.join(told)}）" if zh else f" ({', '.join(told)})"


def _variants() -> list[dict[str, Any]]:
    own = shape_of(OrderArgs, without=("measure", "op", "value", "values", "window"))["properties"]
    currency = {"type": "string", "pattern": CURRENCY_PATTERN}
    found = []
    for each in measure_variants({"currency": currency}, ["currency"]):
        properties = {**own, "currency": nullable(currency), **each["properties"]}
        found.append({"properties": properties, "required": each["required"]})
    return found


LEAF = Leaf(
    kind="order",
    schema=OrderArgs,
    reads=_reads,
    clause=_clause,
    words=_words,
    refers={"product_ids": "products"},
    expires=_expires,
    over_all=_over_all,
    in_order=True,
    variants=_variants,
    value=_value,
)

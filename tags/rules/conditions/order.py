"""Customers whose person ordered, so often or for so much; or did not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Regexp
from sqlalchemy import ColumnElement, Select, exists, select

from scrm.commerce.models import Order, OrderLine, OrderStatus, Product
from scrm.kernel.db import session
from scrm.kernel.schemas import Schema
from tags.rules.condition_shapes import nullable, shape_of
from tags.rules.copied import copied_measure
from tags.rules.copies import Copied, Edges, NotCopied
from tags.rules.leaves import (
    Args,
    Language,
    Leaf,
    Names,
    any_quoted,
    ids_field,
    listed,
    texts_field,
)
from tags.rules.measures import (
    FIGURES,
    amount_of,
    check_measure,
    happens_at_least_once,
    happens_never,
    local_day,
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
from tags.rules.windows import edges, leaving, window_words, within

TIME_WORDS = {
    "placed": ("下单", "placed"), "paid": ("付款", "paid"), "shipped": ("发货", "shipped"),
    "completed": ("完成", "completed"), "cancelled": ("取消", "cancelled"), "refunded": ("退款", "refunded"),
}  # fmt: skip
FILTERS = {"statuses": "status", "shops": "shop", "regions": "region", "sellers": "seller"}
FILTER_WORDS = {
    "statuses": ("状态", "status"), "shops": ("门店", "shop"), "regions": ("地区", "region"), "sellers": ("导购", "seller"),
    "categories": ("品类", "category"), "brands": ("品牌", "brand"),
}  # fmt: skip
STATUS_WORDS = {
    "placed": ("已下单", "placed"), "paid": ("已付款", "paid"), "shipped": ("已发货", "shipped"),
    "completed": ("已完成", "completed"), "cancelled": ("已取消", "cancelled"), "refunded": ("已退款", "refunded"),
}  # fmt: skip
COUNTED = Schema.from_dict(measure_fields(), name="CountedOrders")
MOST_PRODUCTS = 10_000  # whose ids are told one by one
CURRENCY_PATTERN = r"^[A-Z]{3}$"


class OrderArgs(COUNTED):  # type: ignore[valid-type,misc]  # made of shared fields
    """Arguments: how many orders (or how much money) in which window of which of their times, and filters.

    Orders that never got to that time do not count. Money wants one currency: amounts of several cannot be added.
    """

    time = fields.String(load_default="placed", validate=OneOf(list(TIME_WORDS)))
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


def _moment(args: Args, orders: Any = Order) -> Any:
    """The time that counts, of :class:`Order` or of copied orders."""
    return getattr(orders, f"{args['time']}_at")


def _own(args: Args, orders: Any = Order) -> list[Any]:
    """What an order itself tells, its time apart."""
    found: list[Any] = [_moment(args, orders).is_not(None)]
    found += [getattr(orders, name).in_(args[given]) for given, name in FILTERS.items() if args[given]]
    if args["currency"]:
        found.append(orders.currency == args["currency"])
    return found


def _described(args: Args) -> list[Any]:
    """What holds of one of its products."""
    described = (("categories", Product.category), ("brands", Product.brand))
    return [column.in_(args[name]) for name, column in described if args[name]]


def _clauses(args: Args) -> list[Any]:
    """What does not depend on the time."""
    found = _own(args)
    if args["product_ids"]:
        found.append(_has_line(OrderLine.product_id.in_(args["product_ids"])))
    if described := _described(args):
        found.append(_has_line(OrderLine.product_id.in_(select(Product.id).where(*described))))
    return found


def _has_line(clause: Any) -> ColumnElement[bool]:
    return exists().where(OrderLine.order_id == Order.id, clause).correlate(Order)


def _timed(args: Args, now: datetime) -> list[Any]:
    return _windowed(args, now) + _clauses(args)


def _windowed(args: Args, now: datetime, orders: Any = Order) -> list[Any]:
    return [within(_moment(args, orders), args["window"], now)] if args["window"] else []


def _clause(args: Args, now: datetime) -> ColumnElement[bool]:
    clauses = _timed(args, now)
    return measured(
        args,
        local_day(_moment(args)),
        Order.amount,
        lambda having: person_counts(Order.person_id, clauses, having),
        person_has(Order, *clauses),
    )


def _over_all(args: Args, now: datetime) -> ColumnElement[bool]:
    people = select(Order.person_id).where(Order.person_id.is_not(None), *_timed(args, now))
    grouped = people.group_by(Order.person_id)
    return measured(
        args,
        local_day(_moment(args)),
        Order.amount,
        lambda having: counts_of_persons(grouped.having(having)),
        is_one_of_persons(people),
    )


def _in_columns(args: Args, now: datetime, copied: Copied) -> ColumnElement[bool]:
    placed = edges(args["window"], now) if args["time"] == "placed" else (None, None)
    orders = copied.orders(placed).c
    bought = [orders.id.in_(_copied_with(copied, placed, ids)) for ids in _wanted(args)]
    people = select(orders.person_id).where(*_windowed(args, now, orders), *_own(args, orders), *bought)
    return copied_measure(args, people, None, orders.amount)


def _copied_with(copied: Copied, placed: Edges, product_ids: Sequence[int]) -> Select[Any]:
    lines = copied.order_lines(placed).c
    return select(lines.order_id).where(lines.product_id.in_(product_ids))


def _wanted(args: Args) -> list[Sequence[int]]:
    """Ids of products, one of each list of which has to be in an order; what products are called is not copied."""
    wanted = [args["product_ids"]] if args["product_ids"] else []
    if not (described := _described(args)):
        return wanted
    found = session().scalars(select(Product.id).where(*described).limit(MOST_PRODUCTS + 1)).all()
    if len(found) > MOST_PRODUCTS:
        raise NotCopied("products")
    return [*wanted, found]


def _value(args: Args, now: datetime) -> ColumnElement[Any]:
    return of_person(amount_of(args, _moment(args), Order.amount), Order.person_id, *_timed(args, now))


def _expires(args: Args, since: datetime, until: datetime) -> Select[Any] | None:
    crossed = leaving(_moment(args), args["window"], since, until)
    return (
        customers_of(select(Order.person_id).where(crossed, *_clauses(args))) if crossed is not None else None
    )


def _words(args: Args, language: Language, names: Names) -> str:
    zh = language == "zh"
    when, moment = window_words(args["window"], language), TIME_WORDS[args["time"]][0 if zh else 1]
    what = ("的订单" if zh else "orders") + _filter_words(args, language, names)
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


def _filter_words(args: Args, language: Language, names: Names) -> str:
    zh = language == "zh"
    told = []
    for name, (chinese, english) in FILTER_WORDS.items():
        if values := args[name]:
            shown = [STATUS_WORDS[v][0 if zh else 1] if name == "statuses" else v for v in values]
            told.append(
                f"{chinese}{any_quoted(shown, language)}"
                if zh
                else f"{english} {any_quoted(shown, language)}"
            )
    if args["product_ids"]:
        products = listed(args["product_ids"], "products", names, language)
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
    in_columns=_in_columns,
    in_order=True,
    variants=_variants,
    value=_value,
)

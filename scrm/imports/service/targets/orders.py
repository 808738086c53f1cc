"""Orders: one row each, or one row per line with the lines of an order standing together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from scrm.commerce.models import Order, OrderStatus
from scrm.commerce.service import orders
from scrm.imports.service.converting import Kind
from scrm.imports.service.targets.identities import identities_of, identity_fields
from scrm.imports.service.targets.records import differences, found_by_status
from scrm.imports.service.targets.registry import (
    Changes,
    Found,
    Origin,
    Target,
    TargetField,
    Values,
    register,
)
from scrm.kernel.batch import Batch
from scrm.kernel.db import session
from scrm.kernel.permissions import Actor, Permission

STATUS_WORDS = {
    "已下单": "placed", "下单": "placed", "待付款": "placed", "未付款": "placed", "已付款": "paid", "付款": "paid",
    "待发货": "paid", "已支付": "paid", "支付成功": "paid", "已发货": "shipped", "待收货": "shipped", "已完成": "completed",
    "完成": "completed", "交易成功": "completed", "已收货": "completed", "已取消": "cancelled", "取消": "cancelled",
    "交易关闭": "cancelled", "canceled": "cancelled", "已退款": "refunded", "退款": "refunded", "退款成功": "refunded",
}  # fmt: skip
OWN = (
    TargetField("source_id", Kind.TEXT, "订单号", "order no", also=(
        "订单编号", "订单id", "order id", "order number", "source_id", "order_no")),
    TargetField("status", Kind.CHOICE, "订单状态", "status", also=("状态", "交易状态", "order status"), labels=STATUS_WORDS),
    TargetField("at", Kind.MOMENT, "状态时间", "status at", also=("status time", "状态更新时间")),
    TargetField("placed_at", Kind.MOMENT, "下单时间", "placed at", also=(
        "创建时间", "订单创建时间", "订单时间", "order date", "order time", "created at", "placed_at")),
    TargetField("paid_at", Kind.MOMENT, "付款时间", "paid at", also=("支付时间", "付款日期", "paid_at", "payment time")),
    TargetField("shipped_at", Kind.MOMENT, "发货时间", "shipped at", also=("shipped_at",)),
    TargetField("completed_at", Kind.MOMENT, "完成时间", "completed at", also=("成交时间", "收货时间", "completed_at")),
    TargetField("cancelled_at", Kind.MOMENT, "取消时间", "cancelled at", also=("cancelled_at",)),
    TargetField("refunded_at", Kind.MOMENT, "退款时间", "refunded at", also=("refunded_at",)),
    TargetField("amount", Kind.AMOUNT, "订单金额", "amount", also=(
        "实付金额", "实付款", "金额", "总金额", "应付金额", "total", "order amount", "order total")),
    TargetField("refunded_amount", Kind.AMOUNT, "退款金额", "refunded amount", also=("refunded_amount", "refund")),
    TargetField("currency", Kind.TEXT, "币种", "currency", also=("货币",), labels={"人民币": "CNY", "rmb": "CNY"}),
    TargetField("shop", Kind.TEXT, "店铺", "shop", also=("店铺名称", "门店", "store")),
    TargetField("region", Kind.TEXT, "地区", "region", also=("区域",)),
    TargetField("seller", Kind.TEXT, "销售", "seller", also=("导购", "销售员", "salesperson")),
    TargetField("updated_at", Kind.MOMENT, "更新时间", "updated at", also=("修改时间", "updated_at", "last modified")),
    TargetField("line:product", Kind.TEXT, "商品编号", "product id", also=("商品id", "货号", "sku", "product", "商家编码")),
    TargetField("line:name", Kind.TEXT, "商品名称", "product name", also=("商品", "宝贝标题", "商品标题", "item")),
    TargetField("line:quantity", Kind.AMOUNT, "数量", "quantity", also=("商品数量", "购买数量", "qty")),
    TargetField("line:amount", Kind.AMOUNT, "商品金额", "line amount", also=("小计", "行金额", "line total")),
)  # fmt: skip
TIMES = {f"{status}_at": status for status in map(str, OrderStatus)}
LINE = "line:"
SHOWN = (
    "status", "status_at", "amount", "refunded_amount", "currency", "shop", "region", "seller", "person_id", "placed_at",
)  # fmt: skip
BODY = ("refunded_amount", "currency", "shop", "region", "seller", "updated_at")


class Orders(Target):
    """Orders with lines and the times of their statuses."""

    name, zh, en = "orders", "订单", "orders"
    permission, grouped = Permission.ORDERS_WRITE, True

    def fields(self, constants: Mapping[str, Any]) -> dict[str, TargetField]:
        """The order's own columns, its lines', and who bought."""
        return {**{one.path: one for one in OWN}, **identity_fields()}

    def missing(self, paths: set[str], constants: Mapping[str, Any]) -> dict[str, str]:
        """An order has a number and a time; a line is whole."""
        problems = {} if "source_id" in paths else {"source_id": "map the column of the order number"}
        if not paths & {*TIMES} and not {"status", "at"} <= paths:
            problems["placed_at"] = (
                "map a column that says when it was placed or paid (or its status and since when)"
            )
        lines = {path for path in paths if path.startswith(LINE)}
        lacking = {"line:product", "line:quantity", "line:amount"} - lines if lines else set()
        return problems | dict.fromkeys(sorted(lacking), "a line needs product, quantity and amount")

    def key(self, values: Values) -> str | None:
        """The order number."""
        found: str | None = values.get("source_id")
        return found

    def document(self, rows: Sequence[Values], numbers: Sequence[int], origin: Origin) -> dict[str, Any]:
        """One order of ``orders:batch``; without an amount of its own it costs what its lines cost."""
        united = {path: value for row in reversed(rows) for path, value in row.items()}
        lines = [_line(row) for row in rows if any(path.startswith(LINE) for path in row)]
        made = {"source_id": united.get("source_id"), "history": _history(united), "lines": lines}
        made |= {name: united[name] for name in BODY if name in united}
        made |= {"identities": identities_of(united), "amount": united.get("amount") or _sum(lines)}
        return {name: value for name, value in made.items() if value not in (None, {}, [])}

    def make_room(self, batch: Batch) -> None:
        """Months of timelines that have none yet."""
        orders.make_room(batch)

    def store(self, batch: Batch, actor: Actor) -> None:
        """As ``orders:batch`` does."""
        orders.store_orders(batch)

    def found(self, batch: Batch, changes: Changes) -> list[Found | None]:
        """What the service says, with columns and lines that differ."""
        what: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for before, after in changes.get("orders", ()):
            if before is not None and after is not None:
                what[after["source_id"]] += differences(before, after, SHOWN)
        touched = {(after or before)["order_id"] for before, after in changes.get("order_lines", ())}
        for source_id in _numbers(touched):
            what[source_id].append({"field": "lines", "before": None, "after": None})
        return found_by_status(batch, lambda source_id: what[source_id])

    def base(self, source: str) -> int:
        """Orders of this source."""
        return session().scalar(select(func.count()).where(Order.source == source)) or 0


def _line(row: Values) -> dict[str, Any]:
    return {path.removeprefix(LINE): value for path, value in row.items() if path.startswith(LINE)}


def _history(values: Values) -> list[dict[str, Any]]:
    steps = [{"status": status, "at": values[path]} for path, status in TIMES.items() if path in values]
    if "status" in values and values["status"] not in {step["status"] for step in steps}:
        newest = values.get("at") or max((step["at"] for step in steps), default=None)
        steps += [{"status": values["status"], "at": newest}] if newest else []
    return steps


def _sum(lines: Sequence[Mapping[str, Any]]) -> str | None:
    amounts = [line["amount"] for line in lines if "amount" in line]
    return str(sum(map(Decimal, amounts), Decimal(0))) if amounts else None


def _numbers(order_ids: set[int]) -> list[str]:
    if not order_ids:
        return []
    return list(session().scalars(select(Order.source_id).where(Order.id.in_(order_ids)).order_by(Order.id)))


register(Orders())

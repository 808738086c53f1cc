"""Products of a mall or till."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from scrm.commerce.models import Product
from scrm.commerce.service.products import NAMES, store_products
from scrm.imports.service.converting import Kind
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

OWN = (
    TargetField("source_id", Kind.TEXT, "商品编号", "product id", also=("商品id", "编号", "id", "货号", "source_id")),
    TargetField("name", Kind.TEXT, "商品名称", "name", also=("名称", "商品", "标题", "title", "product name", "product")),
    TargetField("category", Kind.TEXT, "类目", "category", also=("分类", "品类", "类别")),
    TargetField("brand", Kind.TEXT, "品牌", "brand"),
    TargetField("sku", Kind.TEXT, "规格编码", "sku", also=("sku编码", "条码", "barcode")),
    TargetField("price", Kind.AMOUNT, "价格", "price", also=("单价", "售价", "unit price")),
    TargetField("currency", Kind.TEXT, "币种", "currency", also=("货币",), labels={"人民币": "CNY", "rmb": "CNY"}),
    TargetField("url", Kind.TEXT, "链接", "url", also=("网址", "link")),
    TargetField("on_sale", Kind.TRUTH, "在售", "on sale", also=("上架", "是否上架", "on_sale"),
                labels={"上架": "是", "已上架": "是", "在售": "是", "下架": "否", "已下架": "否", "停售": "否"}),
    TargetField("updated_at", Kind.MOMENT, "更新时间", "updated at", also=("修改时间", "updated_at", "last modified")),
)  # fmt: skip


class Products(Target):
    """Products; the newest ``updated_at`` stands."""

    name, zh, en = "products", "商品", "products"
    permission, grouped = Permission.PRODUCTS_WRITE, False

    def fields(self, constants: Mapping[str, Any]) -> dict[str, TargetField]:
        """The columns of a product."""
        return {one.path: one for one in OWN}

    def missing(self, paths: set[str], constants: Mapping[str, Any]) -> dict[str, str]:
        """A product has a number and a name, and a price its currency."""
        needed = {"source_id", "name"} | ({"currency"} if "price" in paths else set())
        return dict.fromkeys(sorted(needed - paths), "map a column to it, or give a constant")

    def key(self, values: Values) -> str | None:
        """The product's number."""
        found: str | None = values.get("source_id")
        return found

    def document(self, rows: Sequence[Values], numbers: Sequence[int], origin: Origin) -> dict[str, Any]:
        """One product of ``products:batch``; a currency without a price says nothing."""
        return {name: v for name, v in rows[0].items() if name != "currency" or "price" in rows[0]}

    def store(self, batch: Batch, actor: Actor) -> None:
        """As ``products:batch`` does."""
        store_products(batch)

    def found(self, batch: Batch, changes: Changes) -> list[Found | None]:
        """What the service says, with the columns that differ."""
        what = {
            after["source_id"]: differences(before, after, NAMES)
            for before, after in changes.get("products", ())
            if before is not None and after is not None
        }
        return found_by_status(batch, lambda source_id: what.get(source_id, []))

    def base(self, source: str) -> int:
        """Products of this source."""
        return session().scalar(select(func.count()).where(Product.source == source)) or 0


register(Products())

"""Products and orders in the API."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request

from scrm.commerce import queries
from scrm.commerce.models import Order, Product
from scrm.commerce.schemas import (
    OrderBatchIn,
    OrderOut,
    OrderQuery,
    OrderWhole,
    ProductBatchIn,
    ProductOut,
    ProductQuery,
)
from scrm.commerce.service import orders, products
from scrm.kernel.batch import read_batch
from scrm.kernel.db import transaction
from scrm.kernel.hooks import signed
from scrm.kernel.http import api_blueprint, page_schema, paginate
from scrm.kernel.permissions import Permission, current_actor, needs
from scrm.kernel.schemas import BatchOut

blueprint = api_blueprint("commerce", "商品与订单 products and orders of other systems")


PRODUCTS = {"required": True, "content": {"application/json": {"schema": ProductBatchIn}}}
ORDERS = {"required": True, "content": {"application/json": {"schema": OrderBatchIn}}}


@blueprint.route("/products:batch", methods=["POST"])
@needs(Permission.PRODUCTS_WRITE)
@blueprint.doc(requestBody=PRODUCTS)
@blueprint.response(200, BatchOut)
def store_products() -> Response:
    """Store up to 1,000 products of one source; each row gets its own result. The newest ``updated_at`` stands."""
    current_actor().require_everyone("a batch may concern")
    return _take_in(request.get_data(), "products")


@blueprint.route("/hooks/<string:source>/products", methods=["POST"])
@signed
@blueprint.doc(requestBody=PRODUCTS, security=[])
@blueprint.response(200, BatchOut)
def receive_products(source: str, body: bytes) -> Response:
    """The same for a source that signs its requests (Standard Webhooks) instead of using an API key."""
    return _take_in(body, "products", source)


@blueprint.route("/orders:batch", methods=["POST"])
@needs(Permission.ORDERS_WRITE)
@blueprint.doc(requestBody=ORDERS)
@blueprint.response(200, BatchOut)
def store_orders() -> Response:
    """Store up to 1,000 orders or status changes of one source; each row gets its own result.

    Rows may come in any order and again: the newest version stands, and the newest status by its own time.
    """
    current_actor().require_everyone("a batch may concern")
    return _take_in(request.get_data(), "orders")


@blueprint.route("/hooks/<string:source>/orders", methods=["POST"])
@signed
@blueprint.doc(requestBody=ORDERS, security=[])
@blueprint.response(200, BatchOut)
def receive_orders(source: str, body: bytes) -> Response:
    """The same for a source that signs its requests (Standard Webhooks) instead of using an API key."""
    return _take_in(body, "orders", source)


STORES = {"products": products.store_products, "orders": orders.store_orders}


def _take_in(body: bytes, kind: str, source: str | None = None) -> Response:
    batch = read_batch(body, kind, source)
    if kind == "orders":
        with transaction():
            orders.make_room(batch)
    with transaction():
        STORES[kind](batch)
    return Response(orjson.dumps(batch.answer()), mimetype="application/json")


@blueprint.route("/products")
@needs(Permission.PRODUCTS_READ)
@blueprint.arguments(ProductQuery, location="query")
@blueprint.response(200, page_schema(ProductOut))
def list_products(query: dict[str, Any]) -> Any:
    """Products, newest first."""
    return paginate(queries.product_list(query), Product.id, query)


@blueprint.route("/products/<int:product_id>")
@needs(Permission.PRODUCTS_READ)
@blueprint.response(200, ProductOut)
def get_product(product_id: int) -> Product:
    """Show one product."""
    return queries.product_by_id(product_id)


@blueprint.route("/orders")
@needs(Permission.ORDERS_READ)
@blueprint.arguments(OrderQuery, location="query")
@blueprint.response(200, page_schema(OrderOut))
def list_orders(query: dict[str, Any]) -> Any:
    """Orders, last received first."""
    return paginate(queries.order_list(current_actor().scope, query), Order.id, query)


@blueprint.route("/orders/<int:order_id>")
@needs(Permission.ORDERS_READ)
@blueprint.response(200, OrderWhole)
def get_order(order_id: int) -> Order:
    """Show one order with its lines and everything it went through."""
    return queries.order_whole(current_actor().scope, order_id)

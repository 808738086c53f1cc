"""What the API says about products and orders."""

from __future__ import annotations

from marshmallow import fields
from marshmallow.validate import Length

from scrm.commerce.models import OrderStatus
from scrm.commerce.service.checking import MOST_LINES, MOST_STEPS
from scrm.kernel.batch import MOST_ROWS
from scrm.kernel.schemas import PageQuery, Schema, time_field

SOURCE_ID = {"maxLength": 128, "description": "the sender's own id"}
SOURCE = {"description": "name of the sending system, such as mall"}
AMOUNT = {"description": 'an exact decimal such as "19.90", at most four places', "example": "19.90"}


class ProductIn(Schema):
    """One product. The view checks rows itself (docs/adr/0013); this describes them."""

    source_id = fields.String(required=True, metadata=SOURCE_ID)
    name = fields.String(required=True)
    category = fields.String()
    brand = fields.String()
    sku = fields.String()
    price = fields.String(metadata=AMOUNT)
    currency = fields.String(metadata={"description": "ISO 4217, needed with a price"})
    url = fields.String()
    on_sale = fields.Boolean(load_default=True)
    properties = fields.Dict(keys=fields.String())
    updated_at = time_field(metadata={"description": "of this version; without it the row is the newest"})


class ProductBatchIn(Schema):
    """Products of one source."""

    source = fields.String(required=True, metadata=SOURCE)
    products = fields.List(fields.Nested(ProductIn), required=True, validate=Length(1, MOST_ROWS))


class StepSchema(Schema):
    """An order reached a status."""

    status = fields.Enum(OrderStatus, by_value=True, required=True)
    at = time_field(required=True)


class LineIn(Schema):
    """One position of an order."""

    product = fields.String(required=True, metadata={"description": "source_id of the product"})
    name = fields.String()
    quantity = fields.String(required=True, metadata=AMOUNT)
    amount = fields.String(required=True, metadata={**AMOUNT, "description": "of the whole line"})


class OrderIn(Schema):
    """A whole order (identities, amount and currency at least), or status changes of one alone."""

    source_id = fields.String(required=True, metadata=SOURCE_ID)
    history = fields.List(fields.Nested(StepSchema), required=True, validate=Length(1, MOST_STEPS))
    updated_at = time_field(
        metadata={"description": "of this version; without it that of the newest status change"}
    )
    identities = fields.Dict(keys=fields.String())
    amount = fields.String(metadata=AMOUNT)
    refunded_amount = fields.String(metadata=AMOUNT)
    currency = fields.String(metadata={"description": "ISO 4217"})
    shop = fields.String()
    region = fields.String()
    seller = fields.String()
    lines = fields.List(fields.Nested(LineIn), validate=Length(max=MOST_LINES))


class OrderBatchIn(Schema):
    """Orders of one source."""

    source = fields.String(required=True, metadata=SOURCE)
    orders = fields.List(fields.Nested(OrderIn), required=True, validate=Length(1, MOST_ROWS))


class ProductQuery(PageQuery):
    """Filters of products."""

    source = fields.String(validate=Length(1, 64))
    category = fields.String(validate=Length(1, 100))


class ProductOut(Schema):
    """A product as its newest version says."""

    id = fields.Integer(required=True)
    source = fields.String(required=True)
    source_id = fields.String(required=True)
    name = fields.String(required=True)
    category = fields.String(allow_none=True)
    brand = fields.String(allow_none=True)
    sku = fields.String(allow_none=True)
    price = fields.Decimal(allow_none=True, as_string=True)
    currency = fields.String(allow_none=True)
    url = fields.String(allow_none=True)
    on_sale = fields.Boolean(required=True)
    properties = fields.Dict(required=True)
    version_at = time_field(required=True)


class LineOut(Schema):
    """One position of an order."""

    line_no = fields.Integer(required=True)
    product = fields.String(required=True, attribute="product_ref")
    product_id = fields.Integer(allow_none=True)
    name = fields.String(allow_none=True)
    quantity = fields.Decimal(required=True, as_string=True)
    amount = fields.Decimal(required=True, as_string=True)


class OrderQuery(PageQuery):
    """Filters of orders."""

    person_id = fields.Integer()
    status = fields.Enum(OrderStatus, by_value=True)
    source = fields.String(validate=Length(1, 64))


class OrderOut(Schema):
    """An order; person and amounts are null while only status changes are known."""

    id = fields.Integer(required=True)
    person_id = fields.Integer(allow_none=True)
    source = fields.String(required=True)
    source_id = fields.String(required=True)
    status = fields.Enum(OrderStatus, by_value=True, required=True)
    status_at = time_field(required=True)
    placed_at = time_field(required=True)
    paid_at = time_field(allow_none=True)
    shipped_at = time_field(allow_none=True)
    completed_at = time_field(allow_none=True)
    cancelled_at = time_field(allow_none=True)
    refunded_at = time_field(allow_none=True)
    amount = fields.Decimal(allow_none=True, as_string=True)
    refunded_amount = fields.Decimal(required=True, as_string=True)
    currency = fields.String(allow_none=True)
    shop = fields.String(allow_none=True)
    region = fields.String(allow_none=True)
    seller = fields.String(allow_none=True)
    version_at = time_field(allow_none=True)


class OrderWhole(OrderOut):
    """An order with its lines and everything it went through, oldest first."""

    lines = fields.List(fields.Nested(LineOut), required=True)
    history = fields.List(fields.Nested(StepSchema), required=True)

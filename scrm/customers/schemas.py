"""What the API says about customers."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import Length, OneOf, Regexp

from scrm.customers.models import FollowStatus
from scrm.kernel.schemas import PageQuery, Schema, time_field

REMARK_CHARS, DESCRIPTION_CHARS, COMPANY_CHARS = 20, 150, 20  # wecom-api.md section 4.2
MOST_MOBILES, MOBILE_CHARS = 20, 32  # ours: WeCom names no limit
MOBILE = r"\A(?=(?:[^0-9]*[0-9]){3})[0-9+() -]+\Z"  # ours too: WeCom takes any text


class CustomerQuery(PageQuery):
    """Filters of the list of customers."""

    q = fields.String(validate=Length(1, 64), metadata={"description": "start of the name, ignoring case"})
    external_userid = fields.String(validate=Length(1, 64))
    staff_id = fields.Integer(metadata={"description": "followed by this member of staff"})
    status = fields.String(
        validate=OneOf([status.value for status in FollowStatus]),
        metadata={"description": "status of a follow; with staff_id: of that member's"},
    )


class FollowOut(Schema):
    """A member follows the customer."""

    staff_id = fields.Integer(required=True)
    userid = fields.String(required=True)
    staff_name = fields.String(allow_none=True)
    status = fields.String(required=True)
    remark = fields.String(allow_none=True)
    added_at = time_field(allow_none=True)
    add_way = fields.Integer(allow_none=True)
    state = fields.String(allow_none=True)


class CustomerOut(Schema):
    """A customer in lists; the portrait says more."""

    id = fields.Integer(required=True)
    external_userid = fields.String(required=True)
    name = fields.String(allow_none=True)
    avatar = fields.String(allow_none=True)
    type = fields.Integer(allow_none=True, metadata={"description": "1 WeChat user, 2 WeCom user"})
    gender = fields.Integer(allow_none=True, metadata={"description": "0 unknown, 1 male, 2 female"})
    unionid = fields.String(allow_none=True)
    corp_name = fields.String(allow_none=True)
    position = fields.String(allow_none=True)
    follows = fields.List(fields.Nested(FollowOut), required=True)
    refreshed_at = time_field(allow_none=True)
    refresh_failed = fields.String(
        allow_none=True, metadata={"description": "why WeCom could not be asked, errcode first"}
    )
    created_at = time_field(required=True)


class RemarkIn(Schema):
    """Fields of the relation to overwrite at WeCom; an empty text or list clears."""

    remark = fields.String(validate=Length(max=REMARK_CHARS))
    description = fields.String(validate=Length(max=DESCRIPTION_CHARS))
    remark_company = fields.String(
        validate=Length(max=COMPANY_CHARS), metadata={"description": "of WeChat users (type 1) only"}
    )
    remark_mobiles = fields.List(
        fields.String(
            validate=[
                Length(1, MOBILE_CHARS),
                Regexp(MOBILE, error="must be a phone number: digits, and + - ( ) or blanks between them"),
            ]
        ),
        validate=Length(max=MOST_MOBILES),
        metadata={"description": "replaces all that are there"},
    )

    @validates_schema
    def _something(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not data:
            raise ValidationError("give remark, description, remark_company or remark_mobiles", "remark")


class RemarkOut(Schema):
    """The planned change; it is a fact when the effect is confirmed."""

    effect_id = fields.Integer(required=True)

"""The fields that conditions may look at: of customers, of their present relations, and of the persons behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, not_, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from scrm.customers.models import Customer, Follow
from scrm.people.models import CustomerPerson, PersonField
from scrm.people.queries.fields import FieldSpec, FieldType
from tags.rules.comparisons import PRESENCE, TIMED, Kind, changing, compare, present
from tags.rules.persons import is_of_person_with, person_has
from tags.rules.relations import LIVE, live_follow, one_of_live_follows

PERSON = "person."
PARTS = {
    "country": ("国家", "country"), "province": ("省份", "province"), "city": ("城市", "city"),
    "district": ("区县", "district"), "street": ("街道", "street"), "postcode": ("邮编", "postcode"),
}  # fmt: skip  # of an address: (Chinese, English)
WHOLE_PATTERN = r"^person\.[a-z][a-z0-9_]{0,62}$"
PERSON_PATTERN = rf"{WHOLE_PATTERN[:-1]}(\.({'|'.join(PARTS)}))?$"
Labels = Mapping[int, tuple[str, str]]
GENDERS: Labels = {0: ("未知", "unknown"), 1: ("男", "male"), 2: ("女", "female")}
TYPES: Labels = {1: ("微信用户", "WeChat user"), 2: ("企业微信用户", "WeCom user")}
# wecom-api.md section 4.1
ADD_WAYS: Labels = {
    0: ("未知来源", "unknown"), 1: ("扫描二维码", "QR code"), 2: ("搜索手机号", "search by phone"),
    3: ("名片分享", "business card"), 4: ("群聊", "group chat"), 5: ("手机通讯录", "phone address book"),
    6: ("微信联系人", "WeChat contact"), 7: ("微信好友申请", "WeChat friend request"),
    8: ("安装第三方应用时自动添加", "added with a third-party app"), 9: ("搜索邮箱", "search by e-mail"),
    10: ("视频号", "channels"), 11: ("日程参与人", "schedule"), 12: ("会议参与人", "meeting"),
    13: ("添加微信好友对应的企业微信", "WeCom account of a WeChat friend"), 14: ("智慧硬件客服", "smart hardware"),
    15: ("上门服务客服", "door-to-door service"), 16: ("获客链接", "acquisition link"), 17: ("定制开发", "custom development"),
    18: ("需求回复", "demand reply"), 21: ("第三方售前客服", "third-party presales"), 22: ("可能的商务伙伴", "possible partner"),
    24: ("接受微信账号好友申请", "accepted a WeChat request"), 201: ("内部成员共享", "shared by a colleague"),
    202: ("管理员分配", "assigned by an admin"),
}  # fmt: skip
KINDS = {
    FieldType.TEXT: Kind.TEXT, FieldType.PHONE: Kind.TEXT, FieldType.EMAIL: Kind.TEXT, FieldType.NUMBER: Kind.NUMBER,
    FieldType.DATE: Kind.DATE, FieldType.CHOICE: Kind.CHOICE, FieldType.MULTI_CHOICE: Kind.LIST,
    FieldType.ADDRESS: Kind.FILE, FieldType.FILE: Kind.FILE,
}  # fmt: skip


@dataclass(frozen=True)
class ConditionField:
    """One field: of the customer, or of at least one of the present relations.

    :param kind: the type of a value
    :param zh: what people call it; ``en`` likewise
    :param labels: what the numbers of a code mean
    """

    name: str
    column: Any
    kind: Kind
    zh: str
    en: str
    labels: Labels = field(default_factory=dict)

    @property
    def of_customer(self) -> bool:
        """Whether it belongs to the customer itself."""
        return self.name.startswith("customer.")

    @property
    def fact(self) -> str:
        """The fact whose change can change it."""
        return self.name if self.of_customer else "follows"

    def where(self, clause: ColumnElement[bool], *, everybody: bool = False) -> ColumnElement[bool]:
        """``clause`` about this column as a predicate over customers that is never NULL."""
        if self.of_customer:
            return func.coalesce(clause, False)
        return one_of_live_follows(clause) if everybody else live_follow(clause)


FIELDS = {
    field.name: field
    for field in (
        ConditionField("customer.external_userid", Customer.external_userid, Kind.TEXT, "外部联系人ID", "external_userid"),
        ConditionField("customer.name", Customer.name, Kind.TEXT, "昵称", "name"),
        ConditionField("customer.avatar", Customer.avatar, Kind.FILE, "头像", "avatar"),
        ConditionField("customer.type", Customer.type, Kind.NUMBER, "类型", "type", TYPES),
        ConditionField("customer.gender", Customer.gender, Kind.NUMBER, "性别", "gender", GENDERS),
        ConditionField("customer.unionid", Customer.unionid, Kind.TEXT, "unionid", "unionid"),
        ConditionField("customer.position", Customer.position, Kind.TEXT, "职位", "position"),
        ConditionField("customer.corp_name", Customer.corp_name, Kind.TEXT, "企业简称", "company"),
        ConditionField("customer.corp_full_name", Customer.corp_full_name, Kind.TEXT, "企业全称", "company's full name"),
        ConditionField("customer.created_at", Customer.created_at, Kind.DATE, "首次记录时间", "first known"),
        ConditionField("follow.remark", Follow.remark, Kind.TEXT, "备注", "remark"),
        ConditionField("follow.description", Follow.description, Kind.TEXT, "描述", "description"),
        ConditionField("follow.remark_corp_name", Follow.remark_corp_name, Kind.TEXT, "备注企业", "company in the remark"),
        ConditionField("follow.remark_mobiles", Follow.remark_mobiles, Kind.LIST, "备注手机号", "phone in the remark"),
        ConditionField("follow.add_way", Follow.add_way, Kind.NUMBER, "添加方式", "way of adding", ADD_WAYS),
        ConditionField("follow.state", Follow.state, Kind.TEXT, "渠道参数", "state"),
        ConditionField("follow.oper_userid", Follow.oper_userid, Kind.TEXT, "发起添加的成员", "who added"),
        ConditionField("follow.added_at", Follow.added_at, Kind.DATE, "添加时间", "day of adding"),
    )
}  # fmt: skip


def person_key(name: str) -> tuple[str, str | None]:
    """``person.address.city`` → (``address``, ``city``)."""
    key, _, part = name.removeprefix(PERSON).partition(".")
    return key, part or None


def is_field_name(name: str) -> bool:
    """Whether a condition may name it; a person's field need not exist yet."""
    return name in FIELDS or re.fullmatch(PERSON_PATTERN[1:-1], name) is not None


def kinds_of(name: str) -> list[Kind]:
    """The types its values may have, without asking the database: those of a person's own fields are many."""
    if name in FIELDS:
        return [FIELDS[name].kind]
    return [Kind.TEXT] if person_key(name)[1] else [Kind.TEXT, Kind.NUMBER, Kind.DATE, Kind.CHOICE, Kind.LIST]


def kind_of_spec(spec: FieldSpec, part: str | None) -> Kind | None:
    """The type of a person's field, or of a part of it; None: it has no such part."""
    if part is not None:
        return Kind.TEXT if spec.type is FieldType.ADDRESS else None
    return KINDS[spec.type]


def field_clause(args: Mapping[str, Any], now: datetime, *, everybody: bool = False) -> ColumnElement[bool]:
    """The comparison of ``args`` (``field``, ``op``, …) as a predicate over customers, never NULL.

    ``is_missing`` is the exact opposite of ``is_present``: no present relation, no person has a value.

    :param everybody: as a set that is worked out once
    """
    if args["op"] == "is_missing":
        return not_(field_clause({**args, "op": "is_present"}, now, everybody=everybody))
    if args["field"] in FIELDS:
        field = FIELDS[args["field"]]
        return field.where(compare(field.kind, field.column, args, now), everybody=everybody)
    key, _ = person_key(args["field"])
    has = is_of_person_with if everybody else person_has
    return has(PersonField, PersonField.field == key, _person_value(args, now))


def _person_value(args: Mapping[str, Any], now: datetime) -> Any:
    """The comparison over ``person_fields``; the type of the value follows from what is asked."""
    part, op, whole = person_key(args["field"])[1], args["op"], PersonField.value
    if part is not None:
        return compare(Kind.TEXT, func.jsonb_extract_path_text(whole, part), args, now)
    if op in PRESENCE:
        empty: tuple[Any, ...] = ("", [], {})
        return whole.not_in([literal(value, JSONB) for value in empty])
    kind = asked_kind(args)
    if kind is Kind.LIST:
        return compare(kind, whole, args, now)
    if op in ("any_of", "none_of") and kind is Kind.TEXT:
        chosen = or_(*[compare(k, column, {**args, "op": "any_of"}, now)
                       for k, column in ((Kind.TEXT, PersonField.value_text), (Kind.LIST, whole))])  # fmt: skip
        there = or_(present(Kind.TEXT, PersonField.value_text), present(Kind.LIST, whole))
        return chosen if op == "any_of" else and_(not_(func.coalesce(chosen, False)), there)
    if op in ("contains", "starts_with"):
        text = func.jsonb_extract_path_text(func.jsonb_build_array(whole), "0")
        return and_(func.jsonb_typeof(whole) == "string", compare(Kind.TEXT, text, args, now))
    return compare(kind, PersonField.value_num if kind is Kind.NUMBER else PersonField.value_text, args, now)


def asked_kind(args: Mapping[str, Any]) -> Kind:
    """The type that a comparison is about, as its operator and values tell."""
    op = args["op"]
    values = [args["value"]] if args.get("value") is not None else list(args.get("values") or ())
    if values and not isinstance(values[0], str):
        return Kind.NUMBER
    if op == "all_of":
        return Kind.LIST
    return Kind.DATE if op in {"on", "before", "after", "between", *TIMED} else Kind.TEXT


def field_expires(args: Mapping[str, Any], since: datetime, until: datetime) -> Select[Any] | None:
    """Ids of customers whose answer the clock may have changed; None with an operator that looks at no clock."""
    if args["op"] not in TIMED:
        return None
    if args["field"] in FIELDS:
        field = FIELDS[args["field"]]
        changes = changing(field.column, args, since, until)
        if field.of_customer:
            return select(Customer.id).where(changes)
        return select(Follow.customer_id).where(Follow.status.in_(LIVE), changes)
    key, _ = person_key(args["field"])
    return (
        select(CustomerPerson.customer_id)
        .join(PersonField, PersonField.person_id == CustomerPerson.person_id)
        .where(PersonField.field == key, changing(PersonField.value_text, args, since, until))
    )

"""Every event that other systems can be told of: its words, and the JSON Schema of what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
MOST_ITEMS = 1000
"""Items of one event: a rule that tags a million customers makes a thousand events, not a million."""
EVERYTHING = "*"
ID: Json = {"type": "integer"}
IDS: Json = {"type": "array", "items": ID}
TEXT: Json = {"type": "string"}
TEXTS: Json = {"type": "array", "items": TEXT}
TIME: Json = {"type": "string", "format": "date-time"}
RELATION = {"customer_id": ID, "follow_id": ID, "staff_id": ID}
COUNTS: Json = {"type": "object", "additionalProperties": ID}
STAY = {"group_id": ID, "stay_id": ID, "customer_id": {"type": ["integer", "null"]}, "at": TIME}
TAGGED = {"customer_id": ID, "tag_ids": IDS}
TEXT_OR_NOT: Json = {"type": ["string", "null"]}
ID_OR_NOT: Json = {"type": ["integer", "null"]}
TIME_OR_NOT: Json = {"type": ["string", "null"], "format": "date-time"}
FAT: dict[str, dict[str, Json]] = {
    "customers": {
        "id": ID,
        **dict.fromkeys(("external_userid", "unionid", "name"), TEXT_OR_NOT),
        **dict.fromkeys(("type", "gender"), ID_OR_NOT),
        **dict.fromkeys(("corp_name", "position"), TEXT_OR_NOT),
    },
    "orders": {
        "id": ID,
        **dict.fromkeys(("source", "source_id"), TEXT),
        "person_id": ID_OR_NOT,
        "status": TEXT,
        **dict.fromkeys(("status_at", "placed_at"), TIME),
        **dict.fromkeys(
            ("paid_at", "shipped_at", "completed_at", "cancelled_at", "refunded_at"), TIME_OR_NOT
        ),
        **dict.fromkeys(("amount", "refunded_amount", "currency", "shop", "region", "seller"), TEXT_OR_NOT),
    },
}
"""What fat endpoints get besides, as it is when it is sent."""


@dataclass(frozen=True)
class EventType:
    """A kind of event.

    :param name: ``family.what``
    :param common: fields of ``data`` that hold for the whole event
    :param item: fields of each of ``data.items``; none: the event has no items
    :param fat: what endpoints with ``payload: fat`` get besides: ``customers`` or ``orders``
    """

    name: str
    zh: str
    en: str
    item: Mapping[str, Json] = field(default_factory=dict)
    common: Mapping[str, Json] = field(default_factory=dict)
    fat: str | None = None

    @property
    def family(self) -> str:
        """What a wildcard names: ``tag`` of ``tag.given``."""
        return self.name.partition(".")[0]

    def schema(self) -> Json:
        """JSON Schema (2020-12) of the whole body; what only fat endpoints get is not required."""
        data: dict[str, Json] = dict(self.common)
        if self.item:
            items = {"type": "array", "minItems": 1, "maxItems": MOST_ITEMS, "items": _object(self.item)}
            data = {**data, "items": items}
        told = _object(data)
        if self.fat:
            told["properties"][self.fat] = {"type": "array", "items": _object(FAT[self.fat])}
        body = {"type": {"const": self.name}, "timestamp": TIME, "sequence": ID, "data": told}
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_object(body)}


def _object(fields: Mapping[str, Json]) -> Json:
    """An object; more fields may come with later versions."""
    return {"type": "object", "properties": dict(fields), "required": list(fields)}


_ALL = (
    EventType("webhook.ping", "测试事件", "A test, asked for by a person", common={"endpoint_id": ID}),
    EventType(
        "customer.added", "新增客户", "A member gained a customer", {**RELATION, "at": TIME}, fat="customers"
    ),
    EventType(
        "customer.restored",
        "流失客户重新添加",
        "A member gained a customer again who had been lost",
        {**RELATION, "at": TIME},
        fat="customers",
    ),
    EventType(
        "customer.lost",
        "客户流失",
        "A member lost a customer, or deleted them",
        {**RELATION, "by": {"enum": ["customer", "staff"]}, "at": TIME},
        fat="customers",
    ),
    EventType(
        "customer.changed",
        "客户资料变更",
        "Fields of a customer changed",
        {"customer_id": ID, "fields": TEXTS},
        fat="customers",
    ),
    EventType(
        "customer.follow_changed",
        "跟进信息变更",
        "Remark, description or another field of a relation changed",
        RELATION,
        fat="customers",
    ),
    EventType(
        "customer.synced",
        "全量同步更新客户",
        "A full sync found a customer new or different",
        {"customer_id": ID},
        fat="customers",
    ),
    EventType(
        "person.changed",
        "客户档案字段变更",
        "Current values of a person's fields changed",
        {"person_id": ID, "fields": TEXTS},
    ),
    EventType(
        "person.merged",
        "客户档案合并",
        "Two persons turned out to be one: everything of `gone_id` belongs to `kept_id`",
        {"kept_id": ID, "gone_id": ID},
    ),
    EventType(
        "person.split",
        "客户档案拆分",
        "A merge was undone: `restored_id` is a person again",
        {"person_id": ID, "restored_id": ID},
    ),
    EventType("tag.given", "打标签", "Customers got tags", TAGGED, {"source": TEXT}, fat="customers"),
    EventType("tag.taken", "移除标签", "Customers lost tags", TAGGED, {"source": TEXT}, fat="customers"),
    EventType(
        "order.created", "新订单", "An order became known", {"order_id": ID, "person_id": ID}, fat="orders"
    ),
    EventType(
        "order.status_changed",
        "订单状态变更",
        "An order reached a status",
        {"order_id": ID, "person_id": ID, "status": TEXT, "at": TIME},
        fat="orders",
    ),
    EventType(
        "broadcast.frozen", "群发名单已锁定", "Who receives a broadcast is fixed", common={"broadcast_id": ID}
    ),
    EventType(
        "broadcast.delivered",
        "群发送达",
        "Customers received a broadcast from one member",
        {"customer_id": ID, "at": TIME},
        {"broadcast_id": ID, "staff_id": ID},
        fat="customers",
    ),
    EventType(
        "broadcast.finished",
        "群发已完成",
        "Every recipient's fate is final; `results` counts recipients by state",
        common={"broadcast_id": ID, "results": COUNTS},
    ),
    EventType(
        "broadcast.cancelled", "群发已取消", "Somebody stopped a broadcast", common={"broadcast_id": ID}
    ),
    EventType(
        "audience.members_changed",
        "静态人群成员变更",
        "Customers came onto a static list, or went from it",
        {"customer_id": ID},
        {"audience_id": ID},
        fat="customers",
    ),
    EventType(
        "audience.filled",
        "静态人群批量加入",
        "Many customers came onto a static list at once",
        common={"audience_id": ID, "at": TIME},
    ),
    EventType("group.joined", "入群", "Somebody came into a customer group", STAY, fat="customers"),
    EventType("group.left", "退群", "Somebody left a customer group, or was removed", STAY, fat="customers"),
    EventType(
        "group.changed",
        "客户群变更",
        "A group was founded, renamed, got another owner or notice, or was dismissed",
        {
            "group_id": ID,
            "change": {"enum": ["founded", "name", "owner", "notice", "dismissed"]},
            "at": TIME,
        },
    ),
)
TYPES: dict[str, EventType] = {each.name: each for each in _ALL}
PING = "webhook.ping"


def patterns() -> list[str]:
    """Everything that an endpoint may subscribe to: each type, each family as ``family.*``, and ``*``."""
    families = dict.fromkeys(f"{each.family}.*" for each in _ALL if each.name != PING)
    return [EVERYTHING, *families, *(name for name in TYPES if name != PING)]


def patterns_of(name: str) -> tuple[str, str, str]:
    """The subscriptions that an event of this type fits."""
    return name, f"{name.partition('.')[0]}.*", EVERYTHING

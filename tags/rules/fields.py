"""The fields of customers and relations that conditions may look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func

from scrm.customers.models import Customer, Follow
from tags.rules.relations import live_follow


@dataclass(frozen=True)
class ConditionField:
    """One field: of the customer, or of at least one of the present relations.

    :param kind: the Python type of a value
    :param zh: what people call it; ``en`` likewise
    """

    name: str
    column: Any
    kind: type[str | int | list[str]]
    zh: str
    en: str

    @property
    def of_customer(self) -> bool:
        """Whether it belongs to the customer itself."""
        return self.name.startswith("customer.")

    @property
    def fact(self) -> str:
        """The fact whose change can change it."""
        return self.name if self.of_customer else "follows"

    def where(self, clause: ColumnElement[bool]) -> ColumnElement[bool]:
        """``clause`` about this column as a predicate over customers that is never NULL."""
        return func.coalesce(clause, False) if self.of_customer else live_follow(clause)


FIELDS = {
    field.name: field
    for field in (
        ConditionField("customer.name", Customer.name, str, "昵称", "name"),
        ConditionField("customer.type", Customer.type, int, "类型", "type"),
        ConditionField("customer.gender", Customer.gender, int, "性别", "gender"),
        ConditionField("customer.unionid", Customer.unionid, str, "unionid", "unionid"),
        ConditionField("customer.position", Customer.position, str, "职位", "position"),
        ConditionField("customer.corp_name", Customer.corp_name, str, "企业简称", "company"),
        ConditionField("customer.corp_full_name", Customer.corp_full_name, str, "企业全称", "company's full name"),
        ConditionField("follow.remark", Follow.remark, str, "备注", "remark"),
        ConditionField("follow.description", Follow.description, str, "描述", "description"),
        ConditionField("follow.remark_corp_name", Follow.remark_corp_name, str, "备注企业", "company in the remark"),
        ConditionField("follow.remark_mobiles", Follow.remark_mobiles, list[str], "备注手机号", "phone in the remark"),
        ConditionField("follow.add_way", Follow.add_way, int, "添加方式", "way of adding"),
        ConditionField("follow.state", Follow.state, str, "渠道参数", "state"),
        ConditionField("follow.oper_userid", Follow.oper_userid, str, "发起添加的成员", "who added"),
    )
}  # fmt: skip

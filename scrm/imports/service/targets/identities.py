"""Columns that say who somebody is; people, orders and events have them alike."""

from __future__ import annotations

import hashlib
from typing import Any

from scrm.imports.service.converting import Kind
from scrm.imports.service.targets.registry import TargetField, Values
from scrm.kernel.errors import InvalidInput
from scrm.people.service.identity import Identity, strength

PREFIX = "identity:"
FIELDS = (
    TargetField("identity:phone", Kind.TEXT, "手机", "phone", many=True, also=(
        "手机号", "手机号码", "电话", "联系电话", "电话号码", "移动电话", "mobile", "cell", "tel", "telephone", "phone number")),
    TargetField("identity:email", Kind.TEXT, "邮箱", "e-mail", many=True, also=("电子邮箱", "邮件", "email", "mail")),
    TargetField("identity:member_no", Kind.TEXT, "会员号", "member no", also=(
        "会员编号", "会员卡号", "会员id", "member number", "member_no", "member id", "customer no")),
    TargetField("identity:unionid", Kind.TEXT, "unionid", "unionid", also=("union id",)),
    TargetField("identity:external_userid", Kind.TEXT, "外部联系人id", "external_userid", also=(
        "客户id", "external userid")),
    TargetField("identity:card", Kind.TEXT, "卡号", "card", many=True, also=("实体卡号", "card no", "card number")),
)  # fmt: skip


def identity_fields() -> dict[str, TargetField]:
    """The kinds of identities; ``identity:openid:<appid>`` is understood too."""
    return {one.path: one for one in FIELDS}


def identities_of(values: Values) -> dict[str, Any]:
    """``{"phone": […]}`` as the ``:batch`` endpoints take it."""
    return {path.removeprefix(PREFIX): value for path, value in values.items() if path.startswith(PREFIX)}


def surest(values: Values) -> str | None:
    """A digest of the surest identity of a row: the same for the same person in every file; None without a usable one."""
    keys = [
        key
        for kind, given in identities_of(values).items()
        for value in (given if isinstance(given, list) else [given])
        if (key := _identity(kind, value)) is not None and key.identifies
    ]
    if not keys:
        return None
    best = min(keys, key=lambda key: (strength(key.kind), key))
    return "id-" + hashlib.sha256(f"{best.kind}:{best.value}".encode()).hexdigest()[:32]


def _identity(kind: str, value: str) -> Identity | None:
    try:
        return Identity(kind, value)
    except InvalidInput:
        return None  # the service names what is wrong

"""Customers with their relations, a hundred a page (wecom-api.md section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from scrm.kernel.clock import utcnow
from scrm.sync.service.pages import Asked, Item, Json, Page, one_by_one
from scrm.wecom.client import Client
from scrm.wecom.errors import WecomError

PAGE = 100  # batch/get_by_user gives at most this many
BACKSLASH, QUOTE = "\\", '"'
GONE = {84061, 40096}  # no contact relationship; not a customer of this corp


def read_customers(client: Client, asked: Asked) -> Page:
    """The next page of these members' customers. A single member without customers may be 84061 (section 4.1)."""
    started = utcnow()
    body = {"userid_list": list(asked.keys), "cursor": asked.cursor, "limit": PAGE}
    try:
        answer = client.post("externalcontact/batch/get_by_user", body)
    except WecomError as error:
        if len(asked.keys) == 1 and error.errcode in GONE and not asked.cursor:
            return Page(started)
        raise
    rows = [_row(one) for one in answer.get("external_contact_list") or []]
    return Page(started, follows=rows, cursor=answer.get("next_cursor") or None)


def _row(one: Json) -> tuple[Any, ...]:
    """A relation in the order of the columns of ``sync_follows``; what WeCom did not show is None."""
    contact, follow = one["external_contact"].get, one["follow_info"].get
    return (
        follow("userid"), contact("external_userid"), follow("createtime"),
        contact("name"), contact("avatar"), contact("type"), contact("gender"), contact("unionid"),
        contact("position"), contact("corp_name"), contact("corp_full_name"), _json(contact("external_profile")),
        follow("remark"), follow("description"), follow("remark_corp_name"), _array(follow("remark_mobiles") or ()),
        follow("add_way"), follow("state") or None, follow("oper_userid"), _json(follow("wechat_channels")),
        None if (tags := follow("tag_id")) is None else _array(tags),
    )  # fmt: skip


def _array(values: Sequence[str]) -> str:
    """A text[] as PostgreSQL reads it, a third of the cost of having the driver write it."""
    if not values:
        return "{}"
    quoted = ",".join(
        f'"{value.replace(BACKSLASH, BACKSLASH * 2).replace(QUOTE, BACKSLASH + QUOTE)}"' for value in values
    )
    return f"{{{quoted}}}"


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _ask_ids(client: Client, userid: str) -> list[Item]:
    try:
        ids: list[str] = client.get("externalcontact/list", userid=userid).get("external_userid") or []
    except WecomError as error:
        if error.errcode not in GONE:
            raise
        ids = []
    return [Item("customer_ids", userid, {"ids": ids})]


read_customer_ids = one_by_one(_ask_ids)
"""All customers of a member at one moment, in one answer: pages may shift while somebody is added or deleted."""

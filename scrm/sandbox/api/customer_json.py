"""Customers and relations as the reading calls show them (wecom-api.md §4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.model.people import WECHAT_USER, Customer, Follow

if TYPE_CHECKING:
    from scrm.sandbox.api.registry import Call, Json


def contact_json(customer: Customer) -> Json:
    """`external_contact` of get and batch/get_by_user."""
    found: Json = {
        "external_userid": customer.external_userid,
        "name": customer.name,
        "avatar": f"http://wx.qlogo.invalid/{customer.external_userid}/0",
        "type": customer.type,
        "gender": customer.gender,
    }
    if customer.type == WECHAT_USER:
        found["unionid"] = customer.unionid
    else:
        found["position"] = customer.position or ""
        found["corp_name"] = customer.corp_name or ""
        found["corp_full_name"] = customer.corp_name or ""
        found["external_profile"] = {"external_attr": []}
    return found


def _common(follow: Follow) -> Json:
    found: Json = {
        "userid": follow.userid,
        "remark": follow.remark,
        "description": follow.description,
        "createtime": follow.createtime,
    }
    if follow.corp_name:
        found["remark_corp_name"] = follow.corp_name
    return found


def _tail(follow: Follow) -> Json:
    found: Json = {
        "remark_mobiles": list(follow.mobiles),
        "oper_userid": follow.oper_userid or follow.userid,
        "add_way": follow.add_way,
    }
    if follow.state:
        found["state"] = follow.state
    return found


def follow_json(call: Call, follow: Follow) -> Json:
    """One of `follow_user` of get: tags with their names, also those members made for themselves."""
    tags: list[Json] = []
    for tag_id in follow.tags:
        tag = call.world.tags[tag_id]
        group = call.world.tag_groups[tag.group_id]
        tags.append({"group_name": group.name, "tag_name": tag.name, "tag_id": tag_id, "type": 1})
    tags.extend({"group_name": "", "tag_name": name, "type": 2} for name in follow.own_tags)
    return {**_common(follow), "tags": tags, **_tail(follow)}


def batch_row(customer: Customer, follow: Follow) -> Json:
    """One row of batch/get_by_user: `follow_info` with ids of enterprise tags only."""
    info = {**_common(follow), "tag_id": list(follow.tags), **_tail(follow)}
    return {"external_contact": contact_json(customer), "follow_info": info}

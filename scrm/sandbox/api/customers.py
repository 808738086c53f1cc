"""Reading customers and editing remarks (wecom-api.md §4.1, §4.2)."""

from __future__ import annotations

from scrm.sandbox.api.fields import clipped, decode_cursor, encode_cursor, integer, required, strings, text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import full_follow, known_customer, scoped_member
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.people import WECHAT_USER, Customer, Follow
from scrm.sandbox.people.events import edited_follow

NO_RELATION, NO_USERID, NO_EXTERNAL, EMPTY, TOO_MANY, BAD_MEDIA = 84061, 41009, 41035, 40063, 40032, 40007
BATCH_USERS, BATCH_DEFAULT, BATCH_MAX = 100, 50, 100
REMARK_CHARS, DESCRIPTION_CHARS, COMPANY_CHARS = 20, 150, 20


@api("externalcontact/get_follow_user_list", "GET")
def get_follow_user_list(call: Call) -> Json:
    """Members with the feature in the visible range."""
    members = call.world.members.values()
    return {
        "follow_user": [
            item.userid for item in members if item.contact_feature and call.app.sees(item.userid)
        ]
    }


@api("externalcontact/list", "GET")
def list_customers(call: Call) -> Json:
    """All customers of one member, no paging."""
    userid = call.query.get("userid")
    if not userid:
        raise WecomError(NO_USERID, "missing userid")
    found = [item.external_userid for item in scoped_member(call, userid).customers()]
    if not found and call.world.limits.empty_list_is_84061:
        raise WecomError(NO_RELATION, "not external contact")
    return {"external_userid": found}


@api("externalcontact/get", "GET")
def get_customer(call: Call) -> Json:
    """One customer with everyone who follows them, 500 followers a page."""
    external_userid = call.query.get("external_userid")
    if not external_userid:
        raise WecomError(NO_EXTERNAL, "missing external_userid")
    customer = known_customer(call, external_userid)
    follows = [item for item in customer.follows if not item.half and call.app.sees(item.userid)]
    if not follows:
        raise WecomError(NO_RELATION, "not external contact")
    page, scope = call.world.limits.follower_page, f"get:{external_userid}"
    offset = decode_cursor(scope, call.query.get("cursor"))
    answer: Json = {
        "external_contact": contact_json(customer),
        "follow_user": [_follow_json(call, item) for item in follows[offset : offset + page]],
    }
    if offset + page < len(follows):
        answer["next_cursor"] = encode_cursor(scope, offset + page)
    return answer


@api("externalcontact/batch/get_by_user")
def batch_get_by_user(call: Call) -> Json:
    """Customers of up to 100 members; one customer followed by two of them appears twice."""
    userids = strings(call.body, "userid_list")
    if not userids:
        raise WecomError(EMPTY, "missing userid_list")
    if len(userids) > BATCH_USERS:
        raise WecomError(TOO_MANY, "userid_list too long")
    limit = clipped(integer(call.body, "limit", BATCH_DEFAULT), BATCH_DEFAULT, BATCH_MAX)
    offset = decode_cursor("batch", text(call.body, "cursor"))
    rows, more = _page(call, userids, offset, limit)
    return {
        "external_contact_list": [_batch_row(call, item) for item in rows],
        "next_cursor": encode_cursor("batch", offset + limit) if more else "",
    }


@api("externalcontact/remark")
def remark(call: Call) -> Json:
    """Overwrite the given fields of one relation."""
    body = call.body
    follow = full_follow(
        call, required(body, "userid", NO_USERID), required(body, "external_userid", NO_EXTERNAL)
    )
    values = {
        "remark": text(body, "remark", REMARK_CHARS),
        "description": text(body, "description", DESCRIPTION_CHARS),
        "corp_name": text(body, "remark_company", COMPANY_CHARS),
    }
    picture = text(body, "remark_pic_mediaid")
    mobiles = strings(body, "remark_mobiles") if body.get("remark_mobiles") is not None else None
    if mobiles is None and picture is None and all(value is None for value in values.values()):
        raise WecomError(EMPTY, "nothing to change")
    if picture and picture not in call.world.media:
        raise WecomError(BAD_MEDIA, "invalid media_id")
    _write_remark(call, follow, values, mobiles)
    return {}


def _write_remark(
    call: Call, follow: Follow, values: dict[str, str | None], mobiles: list[str] | None
) -> None:
    if call.world.customers[follow.external_userid].type != WECHAT_USER:
        values["corp_name"] = None  # remark_company has no effect for WeCom users
    for name, value in values.items():
        if value is not None:
            setattr(follow, name, value)
    if mobiles is not None:
        follow.mobiles = tuple(item for item in mobiles if item)
    if call.world.config.callbacks_for_api_writes:
        edited_follow(call.sandbox, follow)


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


def _follow_json(call: Call, follow: Follow) -> Json:
    tags: list[Json] = []
    for tag_id in follow.tags:
        tag = call.world.tags[tag_id]
        group = call.world.tag_groups[tag.group_id]
        tags.append({"group_name": group.name, "tag_name": tag.name, "tag_id": tag_id, "type": 1})
    tags.extend({"group_name": "", "tag_name": name, "type": 2} for name in follow.own_tags)
    return {**_common(follow), "tags": tags, **_tail(follow)}


def _batch_row(call: Call, follow: Follow) -> Json:
    customer = call.world.customers[follow.external_userid]
    info = {**_common(follow), "tag_id": list(follow.tags), **_tail(follow)}
    return {"external_contact": contact_json(customer), "follow_info": info}


def _page(call: Call, userids: list[str], offset: int, limit: int) -> tuple[list[Follow], bool]:
    rows: list[Follow] = []
    for userid in userids:
        found = scoped_member(call, userid).customers()
        if offset >= len(found):
            offset -= len(found)
            continue
        rows.extend(found[offset : offset + limit + 1 - len(rows)])
        offset = 0
        if len(rows) > limit:
            return rows[:limit], True
    return rows, False

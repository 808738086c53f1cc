"""Reading customers and editing remarks (wecom-api.md §4.1, §4.2)."""

from __future__ import annotations

from scrm.sandbox.api.bulk_pages import answer, batch_page, ids_of
from scrm.sandbox.api.customer_json import batch_row, contact_json, follow_json
from scrm.sandbox.api.fields import clipped, decode_cursor, encode_cursor, integer, required, strings, text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import BAD_EXTERNAL, full_follow, scoped_member
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.people import WECHAT_USER, Follow
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
    if call.world.bulk is not None:
        found = [*ids_of(call.world.bulk, userid), *found]
    if not found and call.world.limits.empty_list_is_84061:
        raise WecomError(NO_RELATION, "not external contact")
    return {"external_userid": found}


@api("externalcontact/get", "GET")
def get_customer(call: Call) -> Json:
    """One customer with everyone who follows them, 500 followers a page."""
    external_userid = call.query.get("external_userid")
    if not external_userid:
        raise WecomError(NO_EXTERNAL, "missing external_userid")
    customer = call.world.look(external_userid)
    if customer is None:
        raise WecomError(BAD_EXTERNAL, "invalid external userid")
    follows = [item for item in customer.follows if not item.half and call.app.sees(item.userid)]
    if not follows:
        raise WecomError(NO_RELATION, "not external contact")
    page, scope = call.world.limits.follower_page, f"get:{external_userid}"
    offset = decode_cursor(scope, call.query.get("cursor"))
    answer: Json = {
        "external_contact": contact_json(customer),
        "follow_user": [follow_json(call, item) for item in follows[offset : offset + page]],
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
    customers = call.world.customers
    if call.world.bulk is not None:
        data, place = batch_page(call, call.world.bulk, userids, offset, limit)
        return answer(data, "" if place is None else encode_cursor("batch", place))
    rows, more = _page(call, userids, offset, limit)
    return {
        "external_contact_list": [batch_row(customers[item.external_userid], item) for item in rows],
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

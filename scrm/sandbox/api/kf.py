"""kf accounts, reading the log, customers (wecom-api.md §7.1, §7.2, §7.8)."""

from __future__ import annotations

from scrm.sandbox.api.fields import clipped, decode_cursor, encode_cursor, integer, required, strings, text
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.kf import KfAccount

KF = "kf"
NO_KFID, UNKNOWN_KFID, BAD_KFID, NOT_GRANTED, BAD_TOKEN, RATE_LIMITED, TOO_MANY = (
    60251,
    95004,
    95000,
    48007,
    95007,
    45009,
    40032,
)
PREFIX = "wk"
ACCOUNTS_MAX, SYNC_MAX, CUSTOMERS_MAX = 100, 1_000, 100
MINUTE = 60


@api("kf/account/list", "GET POST", feature=KF)
def account_list(call: Call) -> Json:
    """Accounts granted to the app."""
    offset = integer(call.body, "offset")
    limit = clipped(integer(call.body, "limit", ACCOUNTS_MAX), ACCOUNTS_MAX, ACCOUNTS_MAX)
    rows = [
        {"open_kfid": i.open_kfid, "name": i.name, "avatar": i.avatar, "manage_privilege": True}
        for i in call.world.kf.accounts.values()
        if _granted(call, i)
    ]
    return {"account_list": rows[offset : offset + limit]}


@api("kf/servicer/list", "GET", feature=KF)
def servicer_list(call: Call) -> Json:
    """Servicers of an account; status 0 serving, 1 stopped."""
    account = find_account(call, call.query.get("open_kfid"))
    rows: list[Json] = []
    for userid, status in account.servicers.items():
        rows.append({"userid": userid, "status": status} | ({"stop_type": 0} if status else {}))
    return {"servicer_list": rows}


@api("kf/sync_msg", feature=KF)
def sync_msg(call: Call) -> Json:
    """The account's log after `cursor`, at most three days old."""
    body, world = call.body, call.world
    account = find_account(call, text(body, "open_kfid"))
    integer(body, "voice_format", 0, (0, 1))
    _take_token(call, account)
    scope = f"kf:{account.open_kfid[:12]}"
    start = decode_cursor(scope, text(body, "cursor", max_bytes=64))
    limit = clipped(integer(body, "limit", SYNC_MAX), SYNC_MAX, SYNC_MAX)
    oldest = world.clock.now() - world.limits.kf_retention_seconds
    while start < len(account.log) and account.log[start][0] < oldest:
        start += 1
    end = min(start + limit, len(account.log))
    return {
        "next_cursor": encode_cursor(scope, end),
        "has_more": 1 if end < len(account.log) else 0,
        "msg_list": [item for _, item in account.log[start:end]],
    }


@api("kf/customer/batchget", feature=KF)
def customer_batchget(call: Call) -> Json:
    """Nicknames of people who wrote to a kf account."""
    people = strings(call.body, "external_userid_list")
    if not people:
        raise WecomError(40063, "missing external_userid_list")
    if len(people) > CUSTOMERS_MAX:
        raise WecomError(TOO_MANY, "external_userid_list too long")
    known: list[Json] = []
    for external_userid in people:
        customer = call.world.customers.get(external_userid)
        if customer is not None:
            row: Json = {
                "external_userid": external_userid,
                "nickname": customer.name,
                "avatar": f"http://wx.qlogo.invalid/{external_userid}/0",
                "gender": customer.gender,
            }
            known.append(row | ({"unionid": customer.unionid} if customer.unionid else {}))
    found = {row["external_userid"] for row in known}
    return {"customer_list": known, "invalid_external_userid": [i for i in people if i not in found]}


def find_account(call: Call, open_kfid: str | None) -> KfAccount:
    """60251 missing, 95000 not a kf id, 95004 unknown, 48007 not granted to this app."""
    if not open_kfid:
        raise WecomError(NO_KFID, "missing open_kfid")
    account = call.world.kf.accounts.get(open_kfid)
    if account is None:
        raise WecomError(UNKNOWN_KFID if open_kfid.startswith(PREFIX) else BAD_KFID, "invalid open_kfid")
    if not _granted(call, account):
        raise WecomError(NOT_GRANTED, "kf account not granted to this app")
    return account


def named_account(call: Call) -> KfAccount:
    """The account of a body's `open_kfid`."""
    return find_account(call, text(call.body, "open_kfid"))


def required_customer(call: Call, name: str) -> str:
    """The external_userid of a body's field; 40096 when nobody has it."""
    external_userid = required(call.body, name, 41035)
    if external_userid not in call.world.customers:
        raise WecomError(40096, "invalid external userid")
    return external_userid


def _granted(call: Call, account: KfAccount) -> bool:
    return account.granted_to is None or call.app.config.name in account.granted_to


def _take_token(call: Call, account: KfAccount) -> None:
    """A valid token of this account is free; none is allowed some times a minute; a wrong one is 95007."""
    token = text(call.body, "token", max_bytes=128)
    if token:
        owner, expires = call.world.kf.tokens.get(token, ("", 0.0))
        if owner != account.open_kfid or call.world.clock.now() >= expires:
            raise WecomError(BAD_TOKEN, "invalid msg token")
        return
    limits = call.world.limits
    limit = limits.kf_tokenless_minute if limits.rate_limits_on else 0
    if limit and not call.sandbox.limits.take_from(
        call.app.config.name, "kf/sync_msg:no token", MINUTE, limit
    ):
        raise WecomError(RATE_LIMITED, "api freq out of limit: give the token of the callback")

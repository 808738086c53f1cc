"""message/send: the app writes to members (wecom-api.md §6.1)."""

from __future__ import annotations

import hashlib

import orjson

from scrm.sandbox.api.attachments import check_media
from scrm.sandbox.api.fields import integer, invalid, record, required, text
from scrm.sandbox.api.members import find_member
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.errors import WecomError

NO_AGENT, WRONG_AGENT, BAD_TYPE, TOO_LONG, EMPTY_TEXT = 41011, 301002, 40008, 45002, 44004
NO_TARGET, ALL_INVALID, TOO_MANY, TOO_MANY_PARTS, BAD_MEDIA, RATE_LIMITED = (
    81012,
    81013,
    40032,
    82002,
    40007,
    45009,
)
TEXT_BYTES = 2_048
USERS_MAX, PARTS_MAX = 1_000, 100
EVERYBODY = "@all"
DUPLICATE_DEFAULT, DUPLICATE_MAX = 1_800, 14_400
MINUTE, HOUR, DAY = 60, 3_600, 86_400
MEDIA_TYPES = ("image", "voice", "file", "video")
TYPES = (
    "text",
    *MEDIA_TYPES,
    "textcard",
    "news",
    "mpnews",
    "markdown",
    "miniprogram_notice",
    "template_card",
)


@api("message/send", feature="message")
def message_send(call: Call) -> Json:
    """Deliver to members; partly invalid targets are named, all invalid is 81013."""
    body = call.body
    agentid = body.get("agentid")
    if agentid is None:
        raise WecomError(NO_AGENT, "missing agentid")
    if str(agentid) != str(call.app.config.agentid):
        raise WecomError(WRONG_AGENT, "token has no authority over this agentid")
    kind = required(body, "msgtype", BAD_TYPE)
    content = _checked(call, kind)
    targets, bad_users, bad_parties, bad_tags = _targets(call)
    if not targets:
        raise WecomError(ALL_INVALID, "user & party & tag all invalid")
    msgid = call.world.ids.opaque("", 40)
    answer: Json = {
        "invaliduser": "|".join(item.lower() for item in bad_users),
        "invalidparty": "|".join(bad_parties),
        "invalidtag": "|".join(bad_tags),
        "unlicenseduser": "",
        "msgid": msgid,
    }
    if not _is_duplicate(call):
        _deliver(call, msgid, kind, content, targets)
    return answer


def _checked(call: Call, kind: str) -> Json:
    if kind not in TYPES:
        raise WecomError(BAD_TYPE, "invalid message type")
    content = record(call.body, kind)
    if content is None:
        raise invalid(kind, "is missing")
    if kind in {"text", "markdown"}:
        words = text(content, "content")
        if not words:
            raise WecomError(EMPTY_TEXT, "empty content")
        if len(words.encode()) > TEXT_BYTES:
            raise WecomError(TOO_LONG, f"content size out of limit: at most {TEXT_BYTES} bytes")
    if kind in MEDIA_TYPES:
        check_media(call, required(content, "media_id", BAD_MEDIA), kind)
    return content


def _targets(call: Call) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return (members reached, bad users, bad parties, bad tags)."""
    users = _split(call.body, "touser", USERS_MAX, TOO_MANY)
    parties = _split(call.body, "toparty", PARTS_MAX, TOO_MANY_PARTS)
    tags = _split(call.body, "totag", PARTS_MAX, TOO_MANY_PARTS)
    seen = [item for item in call.world.members.values() if call.app.sees(item.userid)]
    if users == [EVERYBODY]:
        return [item.userid for item in seen], [], [], []
    if not users and not parties and not tags:
        raise WecomError(NO_TARGET, "no target given")
    reached: dict[str, None] = {}
    bad_users: list[str] = []
    for userid in users:
        member = find_member(call, userid)
        if member is None or not call.app.sees(member.userid):
            bad_users.append(userid)
        else:
            reached[member.userid] = None
    known = {str(item) for item in call.world.departments}
    chosen = {str(item.id): item for item in call.world.member_tags.values() if str(item.id) in tags}
    tagged = {userid for tag in chosen.values() for userid in tag.users}
    wanted = {*parties, *(str(party) for tag in chosen.values() for party in tag.parties)}
    for member in seen:
        if member.userid in tagged or any(str(department) in wanted for department in member.departments):
            reached[member.userid] = None
    bad_tags = [item for item in tags if item not in chosen]
    return list(reached), bad_users, [item for item in parties if item not in known], bad_tags


def _split(body: Json, name: str, most: int, code: int) -> list[str]:
    found = [item for item in (text(body, name) or "").split("|") if item]
    if len(found) > most:
        raise WecomError(code, f"{name} has more than {most} targets")
    return found


def _is_duplicate(call: Call) -> bool:
    """enable_duplicate_check drops identical JSON within the interval, in silence."""
    if integer(call.body, "enable_duplicate_check", 0, (0, 1)) == 0:
        return False
    interval = min(integer(call.body, "duplicate_check_interval", DUPLICATE_DEFAULT), DUPLICATE_MAX)
    canonical = orjson.dumps(call.body, option=orjson.OPT_SORT_KEYS)
    key = f"{call.app.config.name}:{hashlib.sha256(canonical).hexdigest()}"
    now = call.world.clock.now()
    last = call.world.message_digests.get(key)
    if last is not None and now - last < interval:
        return True
    call.world.message_digests[key] = now
    return False


def _deliver(call: Call, msgid: str, kind: str, content: Json, targets: list[str]) -> None:
    world, app = call.world, call.app.config.name
    limits, windows = world.limits, call.sandbox.limits
    budget = limits.app_message_account_factor * len(world.members)
    if budget and not all(windows.take_from(app, "message/send:day", DAY, budget) for _ in targets):
        raise WecomError(RATE_LIMITED, "api freq out of limit")
    for userid in targets:
        # Beyond the per-member caps WeCom drops without an error (§1.4).
        scope = f"{app}:{userid}"
        dropped = not (
            windows.take_from(scope, "message/send", MINUTE, limits.member_message_minute or 10**9)
            and windows.take_from(scope, "message/send", HOUR, limits.member_message_hour or 10**9)
        )
        world.app_messages.append(
            {
                "msgid": msgid,
                "app": app,
                "userid": userid,
                "msgtype": kind,
                kind: content,
                "at": world.clock.now(),
                "dropped": dropped,
            }
        )

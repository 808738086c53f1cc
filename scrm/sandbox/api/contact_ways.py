"""「联系我」 contact ways (wecom-api.md §4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrm.sandbox.api.fields import boolean, decode_cursor, encode_cursor, integer, record, strings, text
from scrm.sandbox.api.fields import or_default as page_size
from scrm.sandbox.api.registry import Call, Json, api
from scrm.sandbox.api.relations import scoped_member
from scrm.sandbox.errors import WecomError
from scrm.sandbox.model.tags import ContactWay
from scrm.sandbox.qr_pictures import address

if TYPE_CHECKING:
    from scrm.sandbox.model.world import World

NO_TYPE, NO_SCENE, BAD_TYPE, BAD_SCENE, BAD_STYLE = 41037, 41038, 41039, 41040, 41042
TOO_MANY_PEOPLE, NO_CONFIG, BAD_CONFIG, QUOTA, NOT_ACTIVE, BAD_DEPARTMENT = (
    41041,
    41043,
    41044,
    41045,
    41054,
    60003,
)
BAD_USERS = 40031
SINGLE, MULTI = 1, 2
MINI_PROGRAM, QR_CODE = 1, 2
SCENES = (MINI_PROGRAM, QR_CODE)
STYLES = (1, 2, 3)
ACTIVE = 1
REMARK_CHARS = STATE_CHARS = 30
DAY = 86_400
LIST_DEFAULT, LIST_MAX, LIST_DAYS = 100, 1_000, 90
TEMP_LIFE, TEMP_CHAT, TEMP_MAX = 7 * DAY, DAY, 14 * DAY


@api("externalcontact/add_contact_way")
def add_contact_way(call: Call) -> Json:
    """Make a way; `qr_code` comes back for scene 2."""
    body, world = call.body, call.world
    kind = choice(body, "type", (SINGLE, MULTI), NO_TYPE, BAD_TYPE)
    scene = choice(body, "scene", SCENES, NO_SCENE, BAD_SCENE)
    settings: Json = {"type": kind, "scene": scene, "style": _style(body, scene)}
    settings |= _texts(body) | _temporary(body)
    settings |= {
        "skip_verify": boolean(body, "skip_verify", default=True),
        "is_exclusive": boolean(body, "is_exclusive", default=False),
        "conclusions": record(body, "conclusions"),
    }
    people = _set_people(call, settings, kind, strings(body, "user"), _parties(body))
    if not settings["is_temp"]:
        take_quota(world)
    config_id = world.ids.hexadecimal("config_id")
    if scene == QR_CODE:
        settings["qr_code"] = address(call.environ, config_id)
    world.contact_ways[config_id] = ContactWay(
        config_id, world.clock.seconds(), settings, people, call.app.config.name
    )
    answer: Json = {"config_id": config_id}
    if scene == QR_CODE:
        answer["qr_code"] = settings["qr_code"]
    return answer


@api("externalcontact/get_contact_way")
def get_contact_way(call: Call) -> Json:
    """All settings of one way."""
    way = _way(call)
    hidden = {"is_exclusive"} if not way.settings.get("is_exclusive") else set()
    shown = {key: value for key, value in way.settings.items() if value is not None and key not in hidden}
    return {"contact_way": {"config_id": way.config_id, **shown}}


@api("externalcontact/list_contact_way")
def list_contact_way(call: Call) -> Json:
    """Config ids of the ways made in a span, the last 90 days by default; temporary ones are left out."""
    body, now = call.body, call.world.clock.seconds()
    start = integer(body, "start_time", now - LIST_DAYS * DAY)
    end = integer(body, "end_time", now)
    limit = page_size(integer(body, "limit", LIST_DEFAULT), LIST_DEFAULT, LIST_MAX)
    offset = decode_cursor("ways", text(body, "cursor"))
    found = [
        {"config_id": way.config_id}
        for way in call.world.contact_ways.values()
        if start <= way.created <= end and not way.settings["is_temp"]
    ]
    answer: Json = {"contact_way": found[offset : offset + limit]}
    if offset + limit < len(found):
        answer["next_cursor"] = encode_cursor("ways", offset + limit)
    return answer


@api("externalcontact/update_contact_way")
def update_contact_way(call: Call) -> Json:
    """Replace the given fields; type and scene stay as they are."""
    body, way = call.body, _way(call)
    settings = dict(way.settings)
    texts = _texts(body)
    settings |= {key: value for key, value in texts.items() if key in body}
    for key in ("skip_verify", "is_exclusive"):
        if key in body:
            settings[key] = boolean(body, key, default=True)
    if "style" in body:
        settings["style"] = _style(body, settings["scene"])
    if "conclusions" in body:
        settings["conclusions"] = record(body, "conclusions")
    if "user" in body or "party" in body:
        users = strings(body, "user") if "user" in body else settings["user"]
        parties = _parties(body) if "party" in body else settings["party"]
        way.people = _set_people(call, settings, settings["type"], users, parties)
    way.settings = settings
    return {}


@api("externalcontact/del_contact_way")
def del_contact_way(call: Call) -> Json:
    """Forget a way; scanning it afterwards leads nowhere."""
    del call.world.contact_ways[_way(call).config_id]
    return {}


def take_quota(world: World) -> None:
    """41045 when contact ways and join ways together use up the corp's quota; temporary ones do not count."""
    limit = world.limits.contact_ways
    if len(world.contact_ways) + len(world.join_ways) < limit:
        return
    lasting = sum(1 for way in world.contact_ways.values() if not way.settings["is_temp"])
    if lasting + len(world.join_ways) >= limit:
        raise WecomError(QUOTA, "contact way quota exhausted")


def _way(call: Call) -> ContactWay:
    config_id = text(call.body, "config_id")
    if not config_id:
        raise WecomError(NO_CONFIG, "missing config_id")
    found = call.world.contact_ways.get(config_id)
    if found is None:
        raise WecomError(BAD_CONFIG, "invalid config_id")
    return found


def choice(body: Json, name: str, allowed: tuple[int, ...], missing: int, bad: int) -> int:
    """A number of `allowed`; the errcodes for none and for another one are given."""
    value = body.get(name)
    if value is None:
        raise WecomError(missing, f"missing contact way {name}")
    if value not in allowed or isinstance(value, bool):
        raise WecomError(bad, f"invalid contact way {name}")
    return int(value)


def _style(body: Json, scene: int) -> int | None:
    value = body.get("style")
    if value is None:
        return STYLES[0] if scene == MINI_PROGRAM else None
    if value not in STYLES:
        raise WecomError(BAD_STYLE, "invalid contact way style")
    return int(value)


def _texts(body: Json) -> Json:
    return {"remark": text(body, "remark", REMARK_CHARS), "state": text(body, "state", STATE_CHARS)}


def _temporary(body: Json) -> Json:
    temporary = boolean(body, "is_temp", default=False)
    if not temporary:
        return {"is_temp": False}
    return {
        "is_temp": True,
        "expires_in": min(integer(body, "expires_in", TEMP_LIFE), TEMP_MAX),
        "chat_expires_in": min(integer(body, "chat_expires_in", TEMP_CHAT), TEMP_MAX),
        "unionid": text(body, "unionid"),
    }


def _parties(body: Json) -> list[int]:
    value = body.get("party") or []
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        raise WecomError(BAD_DEPARTMENT, "invalid party")
    return value


def _set_people(
    call: Call, settings: Json, kind: int, users: list[str], parties: list[int]
) -> tuple[str, ...]:
    """Expand departments, check everybody, write `user` and `party` into `settings`."""
    if kind == SINGLE and (len(users) != 1 or parties):
        raise WecomError(BAD_USERS, "a single contact way takes exactly one user")
    if not users and not parties:
        raise WecomError(BAD_USERS, "user and party are both empty")
    people = tuple(dict.fromkeys([*users, *people_of(call, parties)]))
    if len(people) > call.world.limits.contact_way_people:
        raise WecomError(TOO_MANY_PEOPLE, "contact way: too many people")
    for userid in people:
        if scoped_member(call, userid).status != ACTIVE:
            raise WecomError(NOT_ACTIVE, "user not activated")
    settings["user"], settings["party"] = list(users), list(parties)
    return people


def people_of(call: Call, parties: list[int]) -> list[str]:
    """Members with the feature in these departments and everything below them."""
    departments = call.world.departments
    if any(party not in departments for party in parties):
        raise WecomError(BAD_DEPARTMENT, "department not found")
    below = call.world.subtree(parties)
    members = call.world.members.values()
    return sorted(
        item.userid for item in members if item.contact_feature and not below.isdisjoint(item.departments)
    )

"""The story, act by act; everything of ours goes through the public API, everything of theirs through the sandbox."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial

from scrm.cli.demo.cast import Cast
from scrm.cli.demo.comparison import compare, figures
from scrm.cli.demo.outcome import Outcome
from scrm.cli.story.api import Api, Json
from scrm.cli.story.key import fresh_key
from scrm.cli.story.marketing import KEYWORDS, set_up_marketing, tag_group_members
from scrm.cli.story.waiting import is_idle, wait_for
from scrm.cli.supervision.deployment import Deployment
from scrm.cli.supervision.screen import Screen
from scrm.sandbox.control import SandboxControl

STAFF = 5
GROUPS = 2
ASK_SHARE, CHAT_SHARE, GROUP_SHARE = 0.2, 0.1, 0.25
STAFF_MESSAGES = 10
WAIT_SECONDS = 60.0
AHEAD_SECONDS = 3  # how far ahead the broadcast to groups is scheduled
FINAL = {"finished", "failed", "cancelled"}


def tell(deployment: Deployment, screen: Screen, people: int, started: float) -> Outcome:
    """Play all acts and compare; ``started`` is time.monotonic() of the beginning."""
    control = SandboxControl(deployment.sandbox_url)
    with screen.bars() as progress:
        cast = Cast(Api(deployment.web_url, fresh_key(deployment.app, "demo")), control, progress)
        _prepare(cast)
        _people_add(cast, people)
        _people_talk(cast)
        _groups_form(cast)
        _settle(cast, "replies and tags")
        _broadcast(cast)
        _settle(cast, "the last changes")
        progress("comparing", 1, 1)
        return Outcome(compare(cast), figures(cast), time.monotonic() - started)


def _prepare(cast: Cast) -> None:
    """Our side knows the staff; marketing sets up tags, codes, a rule and a reply."""
    wait_for(
        "the list of staff",
        lambda: _count(cast, "staff known", "staff", STAFF, follows_customers="true") >= STAFF,
        WAIT_SECONDS,
    )
    cast.marketing = set_up_marketing(cast.api)
    cast.progress("channel codes", len(cast.marketing.codes), len(cast.marketing.codes))


def _people_add(cast: Cast, people: int) -> None:
    """People scan the codes in turn."""
    codes = [code["config_id"] for code in cast.marketing.codes.values()]
    for number in range(people):
        cast.people += cast.control.scan(codes[number % len(codes)])
        cast.progress("people scan", number + 1, people)
    wait_for(
        "adding all customers",
        lambda: _count(cast, "customers known", "customers", people) >= people,
        WAIT_SECONDS,
    )
    wait_for(
        "the welcomes",
        lambda: _count(cast, "welcomes sent", "welcomes", people, outcome="sent") >= people,
        WAIT_SECONDS,
    )


def _people_talk(cast: Cast) -> None:
    """Some ask for the price, some only chat, and members write to the app."""
    ids = [person["external_userid"] for person in cast.people]
    asking, chatting = int(len(ids) * ASK_SHARE), int(len(ids) * CHAT_SHARE)
    cast.askers, cast.chats = ids[:asking], ids[asking : asking + chatting]
    for number, external_userid in enumerate(cast.askers):
        cast.control.chat(external_userid, f"你好,{KEYWORDS[number % len(KEYWORDS)]}?")
    for external_userid in cast.chats:
        cast.control.chat(external_userid, "周末开门吗?")
    members = cast.control.state_ids("member")
    for number in range(STAFF_MESSAGES):
        cast.control.staff_message(members[number % len(members)], f"第{number + 1}条")
        cast.staff_messages += 1
    written = asking + chatting
    wait_for("storing all messages", lambda: _messages(cast) >= written + STAFF_MESSAGES, WAIT_SECONDS)
    wait_for("the automatic replies", lambda: _replies(cast) >= asking, WAIT_SECONDS)


def _replies(cast: Cast) -> int:
    wanted = len(cast.askers)
    return _count(cast, "automatic replies", "effects", wanted, kind="kf_message", state="confirmed")


def _messages(cast: Cast) -> int:
    wanted = len(cast.askers) + len(cast.chats) + STAFF_MESSAGES
    return _count(cast, "messages stored", "messages", wanted, direction="in")


def _groups_form(cast: Cast) -> None:
    """Two members open groups, people join; a rule tags whoever is in."""
    members = cast.control.state_ids("member")
    per_group = int(len(cast.people) * GROUP_SHARE / GROUPS)
    founders = max(1, per_group // 5)  # so that somebody is left to join, however few people there are
    for number in range(GROUPS):
        chosen = [p["external_userid"] for p in cast.people[number * per_group : (number + 1) * per_group]]
        group = cast.control.create_group(members[number], chosen[:founders], f"福利群{number + 1}")
        cast.control.join_group(group["chat_id"], chosen[founders:])
        cast.progress("groups made", number + 1, GROUPS)
    wait_for("the groups", lambda: _count(cast, "groups known", "groups", GROUPS) >= GROUPS, WAIT_SECONDS)
    tag_group_members(cast.api, cast.marketing, [group["id"] for group in cast.api.every("groups")])


def _broadcast(cast: Cast) -> None:
    """One broadcast to those who asked for the price, one scheduled for all groups; members confirm by themselves."""
    asked = {"condition": {"kind": "has_tag", "tag_ids": [cast.marketing.tags["询价"]]}}
    to_customers = cast.api.post(
        "broadcasts", name="报价单", kind="customers", text="您要的价格表。", audience=asked
    )
    cast.api.post(f"broadcasts/{to_customers['id']}/start")
    at = (datetime.now(UTC) + timedelta(seconds=AHEAD_SECONDS)).isoformat()
    to_groups = cast.api.post(
        "broadcasts", name="群公告", kind="groups", text="本周活动。", audience={"all": True}, send_at=at
    )
    for number, made in enumerate((to_customers, to_groups)):
        cast.progress("broadcasts", number, 2)
        wait_for(f"the end of broadcast {made['name']}", partial(_is_final, cast, made), WAIT_SECONDS)
    cast.progress("broadcasts", 2, 2)


def _is_final(cast: Cast, made: Json) -> bool:
    found = cast.api.get(f"broadcasts/{made['id']}")
    cast.broadcasts[found["kind"]] = found
    return found["state"] in FINAL


def _settle(cast: Cast, what: str) -> None:
    """Wait until every callback is worked on and every change is answered, twice in a row."""
    cast.control.wait_callbacks(WAIT_SECONDS)
    calm = 0

    def question() -> bool:
        nonlocal calm
        calm = calm + 1 if is_idle(cast.api) else 0
        return calm > 2  # a rule may plan a change just after we looked

    wait_for(what, question, WAIT_SECONDS)


def _count(cast: Cast, label: str, path: str, wanted: int, **query: str) -> int:
    """How many items a list has, with a bar called ``label``."""
    seen = sum(1 for _ in cast.api.every(path, **query))
    cast.progress(label, min(seen, wanted), wanted)
    return seen

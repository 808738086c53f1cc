"""Killed at every step, for every sort of change: WeCom does it exactly once, or a person is asked; never twice."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable

import pytest

from scrm.kernel.clock import shifted
from scrm.wecom.models import EffectState, Parked
from scrm.wecom.registry import kind_named
from tests.scrm.wecom.conftest import Corp, call, carry_out, due_now, effect, planned
from tests.scrm.wecom.crashing import Workers
from tests.scrm.wecom.test_killed_workers import LEASE_OVER

pytestmark = pytest.mark.fault

KILLED = -signal.SIGKILL
PLACES = [
    "after_claim",
    "before_send",
    "after_wecom_accepted",
    "before_record",
    "before_commit",
    "after_record",
]
ASKING = ["before_ask", "after_ask"]  # a second worker is killed while it finds out what the first has done
SEEN_BY_NOBODY = ["after_claim", "before_send"]
NOT_YET_RECORDED = [place for place in PLACES if place != "after_record"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def program(process_environment):
    """Loaded once: forking a worker from it costs a hundredth of starting one."""
    with Workers({**process_environment, "SCRM_LOG__LEVEL": "ERROR"}) as made:
        yield made


@pytest.fixture
def workers(program, corp):
    """Workers on a sandbox that makes welcome codes and shows mass sends at once."""
    corp.control.set_limits(mass_send_dispatch_seconds=0)
    corp.control.set_callback(
        "http://127.0.0.1:9/", verify=False
    )  # without an address no welcome codes are made
    yield program
    corp.control.set_callback(None)
    corp.control.set_limits(mass_send_dispatch_seconds=1.0)


def name(prefix: str) -> str:
    return f"{prefix}{next(_numbers)}"


def tag(corp: Corp) -> str:
    return corp.tag_ids(name("标签"))[0]


def way(corp: Corp) -> str:
    body = {"type": 1, "scene": 2, "user": [corp.userid], "state": name("s")}
    return call("externalcontact/add_contact_way", **body)["config_id"]


def mass(corp: Corp) -> dict:
    return {"external_userid": corp.people, "sender": corp.userid, "text": {"content": name("活动")}}


def welcome_code(corp: Corp) -> str:
    before = set(corp.control.state_ids("welcome"))
    corp.control.add(corp.userid)
    return (set(corp.control.state_ids("welcome")) - before).pop()


def kf(corp: Corp) -> dict:
    account = call("kf/account/list")["account_list"][0]["open_kfid"]
    return {
        "open_kfid": account,
        "external_userid": corp.control.chat(content="在吗", open_kfid=account)["external_userid"],
    }


def kf_message(corp: Corp) -> dict:
    who = kf(corp)
    return {
        "open_kfid": who["open_kfid"],
        "touser": who["external_userid"],
        "msgtype": "text",
        "text": {"content": "您好"},
    }


def follow(corp: Corp) -> dict:
    return {"userid": corp.userid, "external_userid": corp.people[0]}


PAYLOADS: dict[str, Callable[[Corp], dict]] = {
    "mark_tag": lambda corp: {**follow(corp), "add_tag": [tag(corp)], "remove_tag": []},
    "remark": lambda corp: {**follow(corp), "remark": name("备注")},
    "add_tag": lambda corp: {"group_name": "来源", "tag": [{"name": name("新")}]},
    "delete_tag": lambda corp: {"tag_id": [tag(corp)], "group_id": []},
    "add_contact_way": lambda corp: {"type": 1, "scene": 2, "user": [corp.userid], "state": name("code-")},
    "update_contact_way": lambda corp: {"config_id": way(corp), "remark": name("新")},
    "delete_contact_way": lambda corp: {"config_id": way(corp)},
    "broadcast": mass,
    "broadcast_cancel": lambda corp: {"msgid": call("externalcontact/add_msg_template", **mass(corp))["msgid"]},
    "broadcast_remind": lambda corp: {"msgid": call("externalcontact/add_msg_template", **mass(corp))["msgid"]},
    "welcome": lambda corp: {"welcome_code": welcome_code(corp), "text": {"content": "您好"}},
    "kf_message": kf_message,
    "kf_event_message": lambda corp: {
        "code": corp.control.kf_enter()["welcome_code"], "msgtype": "text", "text": {"content": "欢迎"}
    },
    "kf_transfer": lambda corp: {**kf(corp), "service_state": 1},
    "staff_message": lambda corp: {"touser": corp.userid, "msgtype": "text", "text": {"content": name("通知")}},
}  # fmt: skip


def settle(made: int, kind: str, killed: int = 1) -> None:
    """The workers that come after, once the leases of those that were killed are over."""
    for _ in range(6):
        with shifted(killed * LEASE_OVER):
            carry_out(kind)
        if effect(made).finished_at or effect(made).parked:
            return
        due_now(made)


def accepted(corp: Corp, kind: str, payload: dict) -> int:
    """Changes WeCom carried out; of equal messages to members it delivers one."""
    if kind == "staff_message":
        told = corp.control.state("app_messages", corp.userid)["messages"]
        return sum(payload["text"]["content"] in str(message) for message in told)
    return len(corp.accepted(kind_named(kind).api))


def life(corp: Corp, workers: Workers, kind: str, places: list[str]) -> str:
    """Plan one change, kill a worker at each place, let others end it; what is wrong, or nothing."""
    payload = PAYLOADS[kind](corp)
    before = accepted(corp, kind, payload)
    made = planned(kind, payload)
    for number, place in enumerate(places):
        ended = workers.run(kind_named(kind).queue, place, number * LEASE_OVER.total_seconds())
        if ended != KILLED:
            return f"{kind}: no worker was killed at {place} ({ended})"
        if place in SEEN_BY_NOBODY and accepted(corp, kind, payload) != before:
            return f"{kind}: WeCom was called before {place}"
        state = effect(made).state
        if place in NOT_YET_RECORDED and state != EffectState.SENT:
            return f"{kind}: {state} after {place}"
    settle(made, kind, len(places))
    row, changes = effect(made), accepted(corp, kind, payload) - before
    if row.state == EffectState.CONFIRMED and changes == 1:
        return ""
    asked = row.state == EffectState.UNKNOWN and row.parked is Parked.PERSON and kind_named(kind).ask is None
    return "" if asked and changes <= 1 else f"{kind}: {row.state} ({row.error}), {changes} changes"


@pytest.mark.parametrize("place", PLACES)
def test_killed_once_the_change_happens_once(corp, workers, place):
    assert [wrong for kind in PAYLOADS if (wrong := life(corp, workers, kind, [place]))] == []


@pytest.mark.parametrize("place", ASKING)
def test_killed_again_while_asking_the_change_happens_once(corp, workers, place):
    askable = [kind for kind in PAYLOADS if kind_named(kind).ask]
    first = "after_wecom_accepted"
    assert [wrong for kind in askable if (wrong := life(corp, workers, kind, [first, place]))] == []


def test_what_only_a_person_can_know_is_asked_of_one(corp, workers):
    payload = PAYLOADS["broadcast_remind"](corp)
    made = planned("broadcast_remind", payload)
    assert workers.run("broadcast", "after_wecom_accepted") == KILLED
    settle(made, "broadcast_remind")
    assert (effect(made).state, effect(made).parked) == (EffectState.UNKNOWN, Parked.PERSON)
    assert len(corp.accepted("externalcontact/remind_groupmsg_send")) == 1

"""WeCom away for three hours: nothing is lost or doubled, hardly anything is tried, and then the best goes first.

Three hours pass in model time: this process's clock and the sandbox's are moved together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import select

from config.queues import Queue
from scrm.kernel import metrics
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.wecom.client import Gateway
from scrm.wecom.jobs import LANES, watch_circuits
from scrm.wecom.lane import memory
from scrm.wecom.models import Circuit, Effect, EffectState, Parked
from tests.scrm.wecom.conftest import Corp, effect, planned
from tests.scrm.wecom.test_crash_matrix import kf, name, tag, welcome_code

pytestmark = pytest.mark.fault

OUTAGE = 3 * 3600
BUSY_HOURS = [*range(0, 600, 10), *range(600, OUTAGE, 120)]  # looks close at first, when most is tried
QUIET_HOURS = list(range(0, OUTAGE, 300))
AFTERWARDS = [OUTAGE + seconds for seconds in (1, 10, 30, 65, 100, 130, 200, 260, 330, 420)]
LONGEST_PAUSE = 60
WAYS_TO_BE_AWAY = ("busy", "http", "cut", "refused")
DONE, EXPIRED, FAILED = EffectState.CONFIRMED, EffectState.EXPIRED, EffectState.FAILED


@dataclass
class World:
    """The company, and the moment it is in."""

    corp: Corp
    app: object
    gateway: Gateway
    now: float = 0.0
    made: dict[str, list[int]] = field(default_factory=dict)

    def at(self, seconds: float) -> None:
        """Let both clocks be ``seconds`` after the beginning."""
        self.corp.control.advance_clock(seconds - self.now)
        self.now = seconds

    def plan(self, what: str, kind: str, payload: dict, seconds: float | None = None, **more) -> None:
        """Plan one; ``seconds``: until its deadline."""
        with shifted(timedelta(seconds=self.now)):
            deadline = None if seconds is None else utcnow() + timedelta(seconds=seconds)
            self.made.setdefault(what, []).append(planned(kind, payload, deadline_at=deadline, **more))

    def work(self) -> None:
        """What the workers and the clock do at this moment."""
        with shifted(timedelta(seconds=self.now)):
            for queue in (Queue.URGENT, Queue.EVENTS, Queue.BROADCAST):
                if LANES[queue].due():
                    LANES[queue]()
            if watch_circuits.due():
                watch_circuits()

    def away(self, how: str, settings) -> None:
        """WeCom goes away."""
        if how != "refused":
            self.corp.control.outage(how)
            return
        nowhere = settings.wecom.model_copy(update={"base_url": "http://127.0.0.1:9"})
        self.app.extensions["scrm_wecom"] = Gateway(settings.model_copy(update={"wecom": nowhere}))

    def back(self) -> None:
        """WeCom is back."""
        self.corp.control.clear_faults()
        self.app.extensions["scrm_wecom"] = self.gateway

    def states(self, *kinds: str) -> set[EffectState]:
        return {effect(one).state for what in kinds for one in self.made[what]}

    def undone(self, *kinds: str) -> list[tuple]:
        """What is not confirmed, and why."""
        rows = [effect(one) for what in kinds for one in self.made[what]]
        return [
            (row.kind, row.state, row.error, row.next_at, row.attempts) for row in rows if row.state != DONE
        ]


@pytest.fixture
def world(corp, app, settings) -> Iterator[World]:
    corp.control.set_limits(mass_send_dispatch_seconds=0)
    corp.control.set_callback(
        "http://127.0.0.1:9/", verify=False
    )  # without an address no welcome codes are made
    gateway = app.extensions["scrm_wecom"] = Gateway(settings)
    yield World(corp, app, gateway)
    app.extensions.pop("scrm_wecom")
    corp.control.clear_faults()
    corp.control.set_callback(None)
    corp.control.set_limits(mass_send_dispatch_seconds=1.0)


def follow(corp: Corp, number: int) -> dict:
    return {"userid": corp.userid, "external_userid": corp.people[number % len(corp.people)]}


def prepared(world: World) -> dict[str, list[dict]]:
    """Payloads of a morning's work, made while WeCom still answers."""
    corp = world.corp
    return {
        "welcome": [{"welcome_code": welcome_code(corp), "text": {"content": "您好"}} for _ in range(3)],
        "reply": [_reply(corp) for _ in range(3)],
        "mark": [{**follow(corp, n), "add_tag": [tag(corp)], "remove_tag": []} for n in range(12)],
        "way": [{"type": 1, "scene": 2, "user": [corp.userid], "state": name("way-")} for _ in range(3)],
        "broadcast": [
            {"external_userid": corp.people, "sender": corp.userid, "text": {"content": name("活动")}}
            for _ in range(4)
        ],
    }


def _reply(corp: Corp) -> dict:
    who = kf(corp)
    words = {"msgtype": "text", "text": {"content": name("回复")}}
    return {"open_kfid": who["open_kfid"], "touser": who["external_userid"], **words}


KIND_OF = {
    "welcome": "welcome",
    "reply": "kf_message",
    "mark": "mark_tag",
    "way": "add_contact_way",
    "broadcast": "broadcast",
}
LIVES = {"welcome": 18.5, "reply": 600.0}


def calls() -> Counter[str]:
    """Requests this process has made so far, by API."""
    found: Counter[str] = Counter()
    for sample in metrics.WECOM_CALLS.collect()[0].samples:
        if sample.name.endswith("_total"):
            found[sample.labels["api"]] += int(sample.value)
    return found


def live_through(world: World, how: str, settings, moments: list[int]) -> Counter[str]:
    """Three hours without WeCom; the calls that were tried."""
    payloads = prepared(world)
    before = calls()
    world.away(how, settings)
    for what, bodies in payloads.items():
        for body in bodies:
            world.plan(what, KIND_OF[what], body, LIVES.get(what))
    for moment in moments:
        world.at(moment)
        world.work()
        assert _held() == {}, f"somebody holds a lease after {moment} s"
    tried = calls() - before
    world.at(OUTAGE)
    world.back()
    return tried


def _held() -> dict[int, str]:
    """Effects under a lease of nobody who works: the calls that wait for their turn are this process's."""
    working = {work.id for queue in Queue for work in memory(queue).running.values()}
    with transaction():
        rows = session().execute(select(Effect.id, Effect.kind).where(Effect.lease_token.is_not(None)))
        return {row.id: row.kind for row in rows if row.id not in working}


def drained(world: World) -> None:
    for moment in AFTERWARDS:
        world.at(moment)
        world.work()


def test_three_hours_without_wecom_cost_hardly_a_call_and_lose_nothing(world, settings):
    tried = live_through(world, "busy", settings, BUSY_HOURS)
    by_pauses = OUTAGE / LONGEST_PAUSE + 12
    assert max(tried.values()) <= by_pauses, tried
    assert sum(tried.values()) <= 5 * by_pauses
    waiting = [row for what in ("mark", "way", "broadcast") for row in map(effect, world.made[what])]
    assert {row.state for row in waiting} == {EffectState.PLANNED}
    assert max(row.attempts for row in waiting) <= 1  # only those that opened the circuit
    drained(world)
    assert world.states("welcome", "reply") == {EXPIRED}
    assert world.undone("mark", "way", "broadcast") == []
    assert _accepted_once(world)
    opened = session().scalars(select(Circuit)).all()
    assert {row.api for row in opened} >= {"externalcontact/mark_tag", "externalcontact/add_msg_template"}
    assert all(row.closed_at - row.opened_at > timedelta(hours=2) for row in opened if "mark_tag" in row.api)


def _accepted_once(world: World) -> bool:
    """WeCom carried out every change that was wanted, none twice."""
    corp, payloads = (
        world.corp,
        {what: [effect(one).payload for one in made] for what, made in world.made.items()},
    )
    marked = [body["add_tag"][0] for body in corp.accepted("externalcontact/mark_tag")]
    assert sorted(marked) == sorted(body["add_tag"][0] for body in payloads["mark"])
    states = [body["state"] for body in corp.accepted("externalcontact/add_contact_way")]
    assert sorted(states) == sorted(body["state"] for body in payloads["way"])
    texts = [body["text"]["content"] for body in corp.accepted("externalcontact/add_msg_template")]
    assert sorted(texts) == sorted(body["text"]["content"] for body in payloads["broadcast"])
    assert corp.accepted("externalcontact/send_welcome_msg") == corp.accepted("kf/send_msg") == []
    return True


@pytest.mark.parametrize("how", WAYS_TO_BE_AWAY)
def test_however_wecom_is_away_everything_that_makes_sense_is_done_once(world, settings, how):
    live_through(world, how, settings, QUIET_HOURS)
    drained(world)
    assert world.undone("mark", "way", "broadcast") == []
    assert _accepted_once(world)
    for what in ("welcome", "reply"):  # too late: never delivered, and said so
        for row in map(effect, world.made[what]):
            told_late = row.state == EXPIRED or (row.state, row.errcode) == (FAILED, 41050)
            asked = (row.state, row.parked) == (EffectState.UNKNOWN, Parked.PERSON)
            assert told_late or (asked and what == "reply"), (what, row.state, row.error)


def test_afterwards_the_urgent_goes_before_the_rest(world, settings):
    marks = [{**follow(world.corp, n), "add_tag": [tag(world.corp)], "remove_tag": []} for n in range(90)]
    replies = [_reply(world.corp) for _ in range(2)]
    welcome = {"welcome_code": welcome_code(world.corp), "text": {"content": "您好"}}
    world.away("http", settings)
    for body in marks:
        world.plan("mark", "mark_tag", body, queue=Queue.URGENT)
    for moment in (0, 60, 300, 600):
        world.at(moment)
        world.work()
    for body in replies:
        world.plan("reply", "kf_message", body, 3600)
    world.plan("welcome", "welcome", welcome, 18.5)
    world.corp.control.clear_faults()
    world.corp.control.set_limits(welcome_seconds=3600)
    for moment in (660, 690, 720):
        world.at(moment if moment != 660 else 610)
        world.work()
    world.corp.control.set_limits(welcome_seconds=20)
    assert world.undone("welcome", "reply", "mark") == []
    order = [entry["api"] for entry in world.corp.control.log()]
    urgent = [order.index("externalcontact/send_welcome_msg"), order.index("kf/send_msg")]
    before = [order[:place].count("externalcontact/mark_tag") for place in urgent]
    assert max(before) <= 16, before  # at most the calls that leave together


def test_a_welcome_after_the_outage_goes_at_once(world, settings):
    world.away("busy", settings)
    for number in range(8):
        body = {"welcome_code": f"lost{number}", "text": {"content": "您好"}}
        world.plan("lost", "welcome", body, 18.5)
    for moment in range(0, 1800, 15):
        world.at(moment)
        world.plan("lost", "welcome", {"welcome_code": f"later{moment}", "text": {"content": "您好"}}, 18.5)
        world.work()
    world.back()
    world.plan(
        "kept", "welcome", {"welcome_code": welcome_code(world.corp), "text": {"content": "您好"}}, 18.5
    )
    for seconds in (0, 3, 6):
        world.at(1790 + seconds)
        world.work()
    assert world.undone("kept") == []


def test_while_it_lasts_everything_can_be_seen(world, settings, api_with):
    world.away("busy", settings)
    for body in prepared_marks(world):
        world.plan("mark", "mark_tag", body)
    world.work()
    with shifted(timedelta(seconds=0.1)):
        (shown,) = api_with("*").get("/api/v1/limits?api=externalcontact/mark_tag").json["items"]
    assert shown["door"]["circuit"] == "open"
    call_counts = api_with("*").get("/api/v1/effects/stats?kind=mark_tag").json["items"]
    assert {(item["state"], item["errcode"]) for item in call_counts} >= {("planned", -1)}


def prepared_marks(world: World) -> list[dict]:
    """Tag marks of tags that do not exist: WeCom is away and never looks at them."""
    return [{**follow(world.corp, n), "add_tag": [f"et{n}"], "remove_tag": []} for n in range(8)]

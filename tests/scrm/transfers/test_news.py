"""News of one transfer in any order, doubled or late, comes to the same; what is about an earlier try changes nothing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from scrm.customers.events import LostBy
from scrm.customers.models import Customer
from scrm.customers.service.recording import (
    Add,
    Deletion,
    TransferFailure,
    record_adds,
    record_deletions,
    record_transfer_failures,
)
from scrm.kernel import events
from scrm.kernel.clock import utcnow
from scrm.kernel.permissions import Scope
from scrm.staff.models import Staff
from scrm.transfers.models import (
    ItemState,
    Matter,
    PlanKind,
    PlanState,
    TransferItem,
    TransferPlan,
    TransferWatch,
)
from scrm.transfers.service.activation import activate_plan
from scrm.transfers.service.answers import record_answers
from scrm.transfers.service.asking import ask_next
from scrm.transfers.service.merging import move_transfers
from scrm.transfers.service.plans import create_plan
from scrm.transfers.service.settling import News, Outcome, settle
from scrm.wecom.effects import settled
from scrm.wecom.models import Effect, EffectState
from tests.scrm.broadcasts.population import follow, make_customers, make_staff
from tests.scrm.transfers.conftest import PERSON, rule


@dataclass
class Case:
    """One customer asked to go from Ann to Bob (or Cid)."""

    session: object
    plan: TransferPlan
    staff: list[Staff]
    customer: Customer
    asked_at: datetime

    @property
    def item(self) -> TransferItem:
        self.session.expire_all()
        return self.session.query(TransferItem).filter_by(plan_id=self.plan.id).one()

    def receiver(self) -> Staff:
        return next(member for member in self.staff if member.id == self.item.to_staff_id)

    def answer(self, errcode: int = 0) -> None:
        effect = self.session.query(Effect).order_by(Effect.id.desc()).first()
        if effect.state == EffectState.PLANNED:
            effect.state, effect.finished_at = EffectState.CONFIRMED, utcnow()
            effect.result = {
                "customer": [{"external_userid": self.customer.external_userid, "errcode": errcode}]
            }
            self.session.flush()
        record_answers([settled(effect)])
        self.deliver()

    def poll(self, outcome: Outcome, to: Staff, hours: float, ended: float | None = None) -> None:
        """A page of results read ``hours`` after the question."""
        at = self.asked_at + timedelta(hours=hours)
        ended_at = None if ended is None else self.asked_at + timedelta(hours=ended)
        settle(
            [News(self.customer.id, outcome, at, to.id, self.staff[0].id, takeover_at=ended_at, asked=True)]
        )
        self.deliver()

    def fails(self, to: Staff, hours: float, reason: str = "customer_refused") -> None:
        at = (self.asked_at + timedelta(hours=hours)).replace(microsecond=0)
        record_transfer_failures([TransferFailure(to.userid, self.customer.external_userid, at, reason)])
        self.deliver()

    def ends(self, hours: float) -> None:
        at = (self.asked_at + timedelta(hours=hours)).replace(microsecond=0)
        gone = Deletion(
            self.staff[0].userid, self.customer.external_userid, at, LostBy.STAFF, "DELETE_BY_TRANSFER"
        )
        record_deletions([gone])
        self.deliver()

    def adds(self, to: Staff, hours: float) -> None:
        at = (self.asked_at + timedelta(hours=hours)).replace(microsecond=0)
        record_adds([Add(to.userid, self.customer.external_userid, at)])
        self.deliver()

    def deliver(self) -> None:
        self.session.flush()
        events.deliver()
        self.session.info.pop("jobs", None)
        self.session.flush()


@pytest.fixture
def case(session) -> Callable[..., Case]:
    numbers = itertools.count()

    def make(kind: PlanKind = PlanKind.ON_JOB, receivers: int = 1) -> Case:
        n = next(numbers)
        staff = make_staff(session, *[f"s{n}_{number}" for number in range(receivers + 1)])
        customer = make_customers(session, f"wm{n}")[0]
        follow(session, staff[0], customer, days_ago=30)
        if kind is PlanKind.RESIGNED:
            staff[0].left_at = utcnow() - timedelta(days=1)
        session.flush()
        data = {
            "kind": kind, "from_staff_id": staff[0].id, "matter": Matter.CUSTOMERS, "copy_tags": False,
            "rule": rule(*staff[1:]),
        }  # fmt: skip
        plan = create_plan(data, PERSON)
        activate_plan(plan.id, Scope.all())
        ask_next(plan.id)
        made = Case(session, plan, staff, customer, utcnow())
        made.deliver()
        return made

    return make


def sequences(news: list[str], most: int = 40) -> list[list[str]]:
    """Orders of the news with some of it twice."""
    drawn = random.Random(7)
    orders = [list(order) for order in itertools.permutations(news)]
    doubled = [drawn.sample(news * 2, len(news) * 2) for _ in range(20)]
    drawn.shuffle(orders)
    return orders[: most - len(doubled)] + doubled


ACCEPTED = {
    "answer": lambda c: c.answer(),
    "waiting": lambda c: c.poll(Outcome.WAITING, c.staff[1], 1, 24),
    "done": lambda c: c.poll(Outcome.DONE, c.staff[1], 25, 24),
    "moved": lambda c: c.ends(24),
    "add": lambda c: c.adds(c.staff[1], 24),
}
REFUSED = {
    "answer": lambda c: c.answer(),
    "waiting": lambda c: c.poll(Outcome.WAITING, c.staff[1], 1, 24),
    "refused": lambda c: c.poll(Outcome.REFUSED, c.staff[1], 3, 2),
    "event": lambda c: c.fails(c.staff[1], 2),
}
NO_ROOM = {
    "answer": lambda c: c.answer(),
    "waiting": lambda c: c.poll(Outcome.WAITING, c.staff[1], 1, 24),
    "limit": lambda c: c.poll(Outcome.LIMIT, c.staff[1], 25, 24),
    "event": lambda c: c.fails(c.staff[1], 24, "customer_limit_exceed"),
}


@pytest.mark.parametrize(("news", "end"), [(ACCEPTED, "done"), (REFUSED, "refused"), (NO_ROOM, "limit")])
def test_any_order_of_the_news_comes_to_the_same(case, news, end):
    for order in sequences(list(news)):
        one = case()
        for name in order:
            news[name](one)
        item = one.item
        assert (item.state, one.plan.state) == (end, PlanState.DONE), order
        assert item.settled_at is not None


@pytest.mark.parametrize(("news", "end"), [(ACCEPTED, "done"), (REFUSED, "back"), (NO_ROOM, "back")])
def test_any_order_comes_to_the_same_for_a_member_who_left(case, news, end):
    for order in sequences(list(news), most=30):
        one = case(PlanKind.RESIGNED)
        for name in order:
            news[name](one)
        assert one.item.state == end, order


def test_any_part_of_the_news_is_enough(case):
    for names in itertools.combinations(REFUSED, 2):
        if {"refused", "event"} & set(names):
            one = case()
            for name in names:
                REFUSED[name](one)
            assert one.item.state == "refused", names


LATE = {
    "event": lambda c, to: c.fails(to, 0.5),
    "refused": lambda c, to: c.poll(Outcome.REFUSED, to, 1, 0.5),
    "waiting": lambda c, to: c.poll(Outcome.WAITING, to, 0.2, 24),
}


def test_late_news_of_the_first_receiver_does_not_touch_the_second_try(case):
    for late in itertools.permutations(("event", "refused", "waiting")):
        one = case(PlanKind.RESIGNED, receivers=2)
        first = one.receiver()
        one.answer()
        one.fails(first, 0.5)
        assert (one.item.state, one.item.tried) == (ItemState.PLANNED, [first.id])
        ask_next(one.plan.id)
        second = one.receiver()
        assert second.id != first.id
        for name in late:
            LATE[name](one, first)
        assert (one.item.state, one.item.to_staff_id) == (ItemState.ASKED, second.id)
        one.answer()
        one.poll(Outcome.DONE, second, 26, 25)
        assert one.item.state == "done"


def test_the_same_receiver_asked_again_is_not_confused_with_the_first_time(case):
    one = case()
    one.answer()
    one.item.asked_at = one.asked_at = utcnow() - timedelta(hours=5)
    one.fails(one.staff[1], 1)
    assert one.item.state == "refused"
    item = one.item
    item.state, item.asked_at, item.settled_at = ItemState.WAITING, utcnow(), None  # somebody asked once more
    one.session.flush()
    one.fails(one.staff[1], 1)  # the old event, once more
    one.poll(Outcome.REFUSED, one.staff[1], 5.1, 1)  # and the old record
    assert one.item.state == "waiting"
    one.poll(Outcome.REFUSED, one.staff[1], 6, 5.5)
    assert one.item.state == "refused"


def test_an_event_told_twice_in_the_second_of_the_next_try_ends_only_the_first(case):
    one = case()
    one.answer()
    second = utcnow().replace(microsecond=0)
    one.asked_at = second
    one.fails(one.staff[1], 0)
    item = one.item
    item.state, item.asked_at, item.settled_at = ItemState.WAITING, second + timedelta(milliseconds=500), None
    one.session.flush()
    one.fails(one.staff[1], 0)
    assert one.item.state == "waiting"


def test_a_relation_that_a_transfer_ended_long_ago_says_nothing(case):
    one = case()
    one.answer()
    one.ends(-24)
    one.adds(one.staff[1], -24)
    assert one.item.state == "waiting"


def test_an_add_says_of_a_colleague_on_the_job_only_that_wecom_is_to_be_asked(case):
    one = case()
    one.answer()
    watch = one.session.query(TransferWatch).filter_by(from_staff_id=one.staff[0].id).one()
    assert watch.next_at > utcnow()
    one.adds(one.staff[1], 0.01)
    one.session.expire_all()
    assert (one.item.state, watch.next_at <= utcnow()) == ("waiting", True)


@pytest.mark.parametrize(
    ("errcode", "state", "reason"),
    [
        (0, "waiting", None),
        (40129, "waiting", None),
        (40100, "waiting", None),
        (40096, "failed", "no_relation"),
        (40131, "failed", "no_relation"),
        (84061, "failed", "no_relation"),
        (40128, "failed", "too_often"),
        (40099, "limit", "receiver_full"),
        (40098, "failed", "receiver_unavailable"),
        (40130, "failed", "receiver_unavailable"),
        (40097, "planned", None),
        (40143, "planned", None),
        (6000, "planned", None),
        (99999, "failed", "wecom_refused"),
    ],
)
def test_what_each_errcode_means_for_the_customer(case, errcode, state, reason):
    one = case()
    one.answer(errcode)
    assert (one.item.state, one.item.reason) == (state, reason)
    stopped = errcode in {40097, 40143}
    assert (one.plan.state == "paused") == stopped
    if errcode:
        assert one.item.errcode == errcode


def test_what_goes_wrong_at_wecom_again_and_again_ends(case):
    one = case()
    for attempt in range(1, 6):
        assert one.item.attempts == attempt
        one.answer(6000)
        if attempt < 5:
            item = one.item
            assert item.not_before > utcnow()
            item.not_before = None
            one.session.flush()
            ask_next(one.plan.id)
            one.deliver()
    assert (one.item.state, one.item.reason, one.item.errcode) == ("failed", "wecom_refused", 6000)


def test_two_rows_of_one_member_become_one_in_transfers_too(case, session):
    one = case()
    one.answer()
    receiver = one.staff[1]
    kept = make_staff(session, "kept")[0]
    move_transfers(kept.id, receiver.id)
    watches = session.query(TransferWatch).filter_by(from_staff_id=one.staff[0].id).all()
    assert [(watch.to_staff_id, watch.next_at is not None) for watch in watches] == [(kept.id, True)]
    one.poll(Outcome.DONE, kept, 25, 24)
    assert (one.item.state, one.item.to_staff_id) == ("done", kept.id)
    other = case(PlanKind.RESIGNED)
    move_transfers(kept.id, other.staff[0].id)
    session.expire_all()
    assert (other.plan.from_staff_id, other.item.from_staff_id) == (kept.id, kept.id)

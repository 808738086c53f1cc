"""The whole deployment: somebody leaves, and people hear of it once, whatever dies in between."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]

TELLING, RECORDING = "worker:urgent", "worker:events"
QUICK = {
    "SCRM_ALERTS__GROUP_SECONDS": "1",
    "SCRM_ALERTS__QUIET_FROM": "",
    "SCRM_ALERTS__QUIET_UNTIL": "",
    "SCRM_LOSSES__ALARM_COUNT": "5",
    "SCRM_WECOM__CONNECT_TIMEOUT_SECONDS": "1",
    "SCRM_WECOM__READ_TIMEOUT_SECONDS": "2",
}


@dataclass
class Company:
    """A running deployment, and what its members were told in their WeCom."""

    stack: Stack
    boss: str
    members: list[str]

    def member(self, name: str) -> str:
        """A member nobody else uses, known to us by this name."""
        userid = self.members.pop()
        self.stack.sql(
            "INSERT INTO staff (userid, name, status, refreshed_at) VALUES (%s, %s, 1, now())", userid, name
        )
        return userid

    def start(self, worker: str, **environment: str) -> None:
        self.stack.start(worker, SCRM_ALERTS__OPERATORS=f'["{self.boss}"]', **environment)

    def customers(self, userid: str, count: int) -> list[str]:
        """People who add the member; their callbacks are worked through."""
        people = [one["external_userid"] for one in self.stack.control.add(userid, count=count)]
        known = "SELECT count(*) FROM follows f JOIN staff s ON s.id = f.staff_id WHERE s.userid = %s AND f.added_at > '2000-1-1'"
        wait_until(lambda: self.stack.sql(known, userid)[0][0] == count, 90)
        return people

    def told(self, userid: str) -> list[str]:
        """Texts that arrived; WeCom dropped none."""
        messages = self.stack.control.state("app_messages", userid)["messages"]
        assert not any(message["dropped"] for message in messages)
        return [message["text"]["content"] for message in messages]

    def lines(self, userid: str) -> int:
        """How many alerts arrived, those that were only counted too."""
        return sum(int(text.split("】")[1].split(" ")[0]) for text in self.told(userid))

    def heard(self, userid: str, count: int, seconds: float = 60) -> None:
        wait_until(lambda: self.lines(userid) >= count, seconds, lambda: self.report(userid))

    def report(self, userid: str) -> str:
        rows = self.stack.sql(
            "SELECT a.state, a.reason, e.state, e.error, count(*) FROM alerts a LEFT JOIN effects e ON e.id = a.effect_id"
            " GROUP BY 1, 2, 3, 4"
        )
        logs = [self.stack.log(name).read_text(errors="replace")[-2000:] for name in (TELLING, RECORDING)]
        return f"{self.told(userid)} {rows} {logs}"

    def crash(self, worker: str, place: str) -> None:
        """The worker dies at this place, and a new one takes over when the leases of the dead are over."""
        assert self.stack.wait_end(worker, 60) == -signal.SIGKILL, place
        self.stack.sql("UPDATE effects SET lease_until = now() WHERE lease_until > now()")
        self.start(worker)


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    with Stack([], environment=QUICK) as stack:
        boss, *members = stack.control.population(members=12, departments=1, customers=0)["members"]
        made = Company(stack, boss, members)
        for process in ("web", "clock", RECORDING, TELLING):
            made.start(process)
        stack.wait_web()
        stack.control.set_callback(stack.callback_url, verify=True)
        yield made


def test_a_customer_leaves_and_the_member_hears_of_it_once(company: Company) -> None:
    userid = company.member("One")
    [customer, other] = company.customers(userid, 2)
    company.stack.control.delete_follow(userid, customer)
    company.heard(userid, 1)
    company.stack.control.delete_follow(userid, other)
    company.heard(userid, 2)
    company.stack.wait_drained()
    texts = company.told(userid)
    assert [text.count("删除了 One") for text in texts] == [1, 1]
    rows = company.stack.sql(
        "SELECT l.lost_by, l.found FROM losses l JOIN staff s ON s.id = l.staff_id WHERE s.name = 'One'"
    )
    assert rows == [("customer", False)] * 2
    assert company.stack.sql("SELECT count(*) FROM alerts WHERE state = 'pending'") == [(0,)]


def test_a_thousand_who_leave_at_once_are_few_messages(company: Company) -> None:
    userid = company.member("many")
    people = company.customers(userid, 1000)
    for customer in people:
        company.stack.control.delete_follow(userid, customer)
    company.heard(userid, 1000, 150)
    assert company.lines(userid) == 1000
    assert len(company.told(userid)) <= 10


def test_mass_deletion_wakes_the_operators_with_one_message(company: Company) -> None:
    userid = company.member("angry")
    people = company.customers(userid, 12)
    before = len([text for text in company.told(company.boss) if "短时间内删除了" in text])
    for customer in people:
        company.stack.control.delete_contact(userid, customer)
    wait_until(
        lambda: company.stack.sql("SELECT deletions FROM loss_alarms") == [(12,)],
        60,
        lambda: company.report(company.boss),
    )
    wait_until(lambda: any("短时间内删除了" in text for text in company.told(company.boss)[before:]), 60)
    company.stack.wait_drained()
    assert len([text for text in company.told(company.boss) if "短时间内删除了" in text]) == 1


@pytest.mark.parametrize(
    "place", ["alerts_before_commit", "alerts_planned", "after_claim", "after_wecom_accepted"]
)
def test_a_worker_killed_anywhere_between_planning_and_sending_tells_exactly_once(
    company: Company, place: str
) -> None:
    userid = company.member(f"m{place.replace('_', '')}")
    [customer] = company.customers(userid, 1)
    company.stack.wait_drained()
    company.stack.terminate(TELLING)
    company.start(TELLING, SCRM_CRASH_AT=place)
    company.stack.control.delete_follow(userid, customer)
    company.crash(TELLING, place)
    company.heard(userid, 1, 90)
    company.stack.wait_drained()
    assert len(company.told(userid)) == 1
    sent = "SELECT a.state FROM alerts a JOIN staff s ON s.id = a.receiver_id WHERE s.userid = %s"
    assert company.stack.sql(sent, userid) == [("sent",)]


def test_a_worker_killed_while_it_judges_losses_is_made_up_for(company: Company) -> None:
    userid = company.member("judged")
    [customer] = company.customers(userid, 1)
    company.stack.wait_drained()
    company.stack.terminate(RECORDING)
    company.start(RECORDING, SCRM_CRASH_AT="losses_before_commit")
    company.stack.control.delete_follow(userid, customer)
    company.crash(RECORDING, "losses_before_commit")
    company.heard(userid, 1, 90)
    company.stack.wait_drained()
    assert len(company.told(userid)) == 1

"""kill -9 of a worker at every step of a transfer: nobody is lost, nobody is asked twice."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]

API = "externalcontact/transfer_customer"
ASKING, READING, EVENTS = "worker:broadcast", "worker:background", "worker:events"
EACH = 120  # two calls
QUICK = {
    "SCRM_TRANSFERS__POLL_SECONDS": "0.5",
    "SCRM_WECOM__CONNECT_TIMEOUT_SECONDS": "1",
    "SCRM_WECOM__READ_TIMEOUT_SECONDS": "1",
    "SCRM_EFFECTS__LEASE_SECONDS": "15",
}
LIMITS = {"transfer_seconds": 3.0, "rate_limits_on": False}


@dataclass
class Company:
    """A running deployment; every test hands another member's customers over."""

    stack: Stack
    since: int = 0
    number: int = 0

    def start(self) -> int:
        """An active plan of a new member's customers, all to one colleague."""
        self.since = max((call["seq"] for call in self.stack.control.log()), default=0)
        self.number += 1
        old, new = f"old{self.number}", f"new{self.number}"
        for userid in (old, new):
            self.stack.control.create_staff(userid, userid)
        people = [person["external_userid"] for person in self.stack.control.add(old, count=EACH)]
        [[plan]] = self.stack.sql(
            "WITH s AS (INSERT INTO staff (userid, status, follows_customers) VALUES (%s, 1, true), (%s, 1, true)"
            "   RETURNING id, userid),"
            " c AS (INSERT INTO customers (external_userid) SELECT unnest(%s::text[]) RETURNING id),"
            " f AS (INSERT INTO follows (staff_id, customer_id, added_at)"
            "   SELECT s.id, c.id, now() - interval '9 days' FROM s, c WHERE s.userid = %s),"
            " p AS (INSERT INTO transfer_plans (kind, state, from_staff_id, matter, made_by)"
            "   SELECT 'on_job', 'active', s.id, 'customers', 'test' FROM s WHERE s.userid = %s RETURNING id, from_staff_id),"
            " i AS (INSERT INTO transfer_items (plan_id, from_staff_id, to_staff_id, customer_id)"
            "   SELECT p.id, p.from_staff_id, s.id, c.id FROM p, s, c WHERE s.userid = %s)"
            " SELECT id FROM p",
            old, new, people, old, old, new,
        )  # fmt: skip
        return int(plan)

    def crash(self, worker: str, place: str) -> None:
        """Let a worker die at a crash point, and a new one take its place after the leases of the dead are over."""
        if self.stack.alive(worker):
            self.stack.kill(worker)
        self.stack.start(worker, SCRM_CRASH_AT=place)
        assert self.stack.wait_end(worker, 60) == -signal.SIGKILL
        for table in ("transfer_watches", "effects"):  # as if the time of the lease had gone by
            self.stack.sql(f"UPDATE {table} SET lease_until = now() WHERE lease_until > now()")  # noqa: S608
        self.stack.start(worker)

    def hurry(self) -> None:
        """Watches need not wait for their first minute."""
        self.stack.sql(
            "UPDATE transfer_watches SET next_at = now() WHERE next_at > now() + interval '1 second'"
        )

    def done(self, plan: int) -> bool:
        self.hurry()
        return self.stack.sql("SELECT state FROM transfer_plans WHERE id = %s", plan) == [("done",)]

    def finished(self, plan: int) -> None:
        wait_until(lambda: self.done(plan), 90, lambda: self.report(plan))

    def report(self, plan: int) -> str:
        states = self.stack.sql(
            "SELECT i.state, i.reason, i.errcode, count(*) FROM transfer_items i WHERE plan_id = %s GROUP BY 1, 2, 3",
            plan,
        )
        effects = self.stack.sql(
            "SELECT id, state, error, attempts FROM effects WHERE kind LIKE '%%transfer%%'"
        )
        watches = self.stack.sql("SELECT next_at, now(), passes, error FROM transfer_watches")
        logs = [
            self.stack.log(name).read_text(errors="replace")[-2000:] for name in (ASKING, READING, EVENTS)
        ]
        return f"{states} {effects} {watches} {logs}"

    def everybody_once(self, plan: int) -> None:
        calls = self.stack.control.log(api=API, since=self.since)
        named = Counter(name for call in calls for name in call["body"]["external_userid"])
        assert set(named.values()) == {1}
        assert len(named) == EACH
        assert self.stack.sql(
            "SELECT state, count(*) FROM transfer_items WHERE plan_id = %s GROUP BY 1", plan
        ) == [("done", EACH)]


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    with Stack(["clock", ASKING, READING, EVENTS], environment=QUICK, limits=LIMITS) as stack:
        stack.control.population(members=1, customers=0)
        yield Company(stack)


@pytest.mark.parametrize("place", ["transfers_asked", "after_claim", "after_wecom_accepted", "after_record"])
def test_an_asking_worker_killed_anywhere_asks_nobody_twice(company: Company, place: str) -> None:
    company.stack.kill(ASKING) if company.stack.alive(ASKING) else None
    plan = company.start()
    company.crash(ASKING, place)
    company.finished(plan)
    company.everybody_once(plan)


def test_a_worker_killed_while_reading_results_is_made_up_for(company: Company) -> None:
    company.stack.kill(READING)
    plan = company.start()
    asked = "SELECT count(*) FROM transfer_items WHERE plan_id = %s AND state = 'waiting'"
    wait_until(lambda: company.stack.sql(asked, plan) == [(EACH,)], 60, lambda: company.report(plan))
    company.hurry()
    company.crash(READING, "transfer_results_read")
    company.finished(plan)
    company.everybody_once(plan)


def test_a_time_out_after_wecom_accepted_asks_nobody_twice(company: Company) -> None:
    company.stack.control.fault("timeout_after_success", api=API, times=2)
    plan = company.start()
    unknown = "SELECT count(*) FROM effects WHERE state = 'unknown' AND next_at > now()"
    wait_until(lambda: company.stack.sql(unknown) == [(2,)], 60, lambda: company.report(plan))
    company.stack.sql(
        "UPDATE effects SET next_at = now() WHERE state = 'unknown'"
    )  # as if the pause had gone by
    company.finished(plan)
    company.everybody_once(plan)

"""kill -9 of a worker at every step of a broadcast: no recipient is lost or named to WeCom twice."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.nursery import nursery
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]

SENDS = "externalcontact/add_msg_template"
MEMBERS, EACH = 4, 30
SENDING, READING = "worker:broadcast", "worker:background"
QUICK = {
    "SCRM_BROADCASTS__POLL_SECONDS": "0.5",
    "SCRM_WECOM__CONNECT_TIMEOUT_SECONDS": "1",
    "SCRM_WECOM__READ_TIMEOUT_SECONDS": "1",
    "SCRM_EFFECTS__LEASE_SECONDS": "15",
}
LIMITS = {"mass_send_dispatch_seconds": 0.0, "staff_confirm_seconds": 0.3, "rate_limits_on": False}


@dataclass
class Company:
    """A running deployment whose members and customers are the same at WeCom and in the database."""

    stack: Stack
    people: list[str]
    since: int = 0

    def start(self) -> int:
        """A broadcast to everybody that was started this moment."""
        self.since = max((call["seq"] for call in self.stack.control.log()), default=0)
        [[made]] = self.stack.sql(
            "INSERT INTO broadcasts (name, kind, state, text, attachments, audience, made_by, started_at)"
            " VALUES ('offer', 'customers', 'planning', 'hello', '[]', '{\"all\": true}', 'test', now()) RETURNING id"
        )
        return int(made)

    def state(self, broadcast: int) -> str:
        return str(self.stack.sql("SELECT state FROM broadcasts WHERE id = %s", broadcast)[0][0])

    def crash(self, worker: str, place: str) -> None:
        """Let a worker die at a crash point, and a new one take its place after the leases of the dead are over."""
        if self.stack.alive(worker):
            self.stack.kill(worker)
        self.stack.start(worker, SCRM_CRASH_AT=place)
        assert self.stack.wait_end(worker, 60) == -signal.SIGKILL
        for table in ("broadcast_chunks", "effects"):  # as if the time of the lease had gone by
            self.stack.sql(f"UPDATE {table} SET lease_until = now() WHERE lease_until > now()")  # noqa: S608
        self.stack.sql("UPDATE effects SET sent_at = sent_at - interval '2 minutes' WHERE state = 'sent'")
        self.stack.start(worker)

    def work(self, *workers: str) -> None:
        """See to it that these workers run."""
        for worker in workers:
            if not self.stack.alive(worker):
                self.stack.start(worker)

    def finished(self, broadcast: int, seconds: float = 90) -> None:
        wait_until(lambda: self.state(broadcast) == "finished", seconds, lambda: self.report(broadcast))

    def report(self, broadcast: int) -> str:
        chunks = self.stack.sql(
            "SELECT c.id, c.effect_id, e.state, e.error, c.msgid, c.sender_status, c.poll_cursor, c.next_at,"
            " c.polled_at, c.lease_until, c.attempts, c.error, now(),"
            " (SELECT array_agg(DISTINCT t.state) FROM broadcast_targets t WHERE t.chunk_id = c.id)"
            " FROM broadcast_chunks c LEFT JOIN effects e ON e.id = c.effect_id WHERE broadcast_id = %s",
            broadcast,
        )
        logs = [self.stack.log(name).read_text(errors="replace")[-3000:] for name in (SENDING, READING)]
        return f"{self.state(broadcast)} {chunks} {logs}"

    def received(self) -> Counter[str]:
        """How often WeCom was given each recipient since the start."""
        calls = self.stack.control.log(api=SENDS, since=self.since)
        return Counter(name for call in calls for name in call["body"]["external_userid"])

    def everybody_once(self, broadcast: int) -> None:
        assert self.received() == Counter(self.people)
        states = self.stack.sql(
            "SELECT recipient, state FROM broadcast_targets WHERE broadcast_id = %s", broadcast
        )
        assert dict(states) == dict.fromkeys(self.people, "sent")
        twice = "SELECT count(*) FROM timeline WHERE details->>'broadcast_id' = %s"
        assert self.stack.sql(twice, str(broadcast)) == [(len(self.people),)]


@pytest.fixture(scope="module")
def running() -> Iterator[Company]:
    with Stack(["clock"], environment=QUICK, limits=LIMITS) as stack:
        userids = stack.control.population(members=MEMBERS, customers=0)["members"]
        people = []
        for userid in userids:
            added = [person["external_userid"] for person in stack.control.add(userid, count=EACH)]
            people += added
            stack.sql(
                "WITH s AS (INSERT INTO staff (userid, status, follows_customers) VALUES (%s, 1, true) RETURNING id),"
                " c AS (INSERT INTO customers (external_userid) SELECT unnest(%s::text[]) RETURNING id)"
                " INSERT INTO follows (staff_id, customer_id, added_at) SELECT s.id, c.id, now() FROM s, c",
                userid,
                added,
            )
        yield Company(stack, people)


@pytest.fixture
def company(running: Company) -> Iterator[Company]:
    yield running
    running.stack.control.clear_faults()
    if running.stack.alive(SENDING):
        running.stack.kill(SENDING)


@pytest.mark.parametrize(
    "place",
    [
        "audience_written",
        "audience_committed",
        "chunks_planned",
        "after_claim",
        "after_wecom_accepted",
    ],
)
def test_a_sending_worker_killed_anywhere_neither_loses_nor_doubles(company: Company, place: str) -> None:
    broadcast = company.start()
    company.work(READING)
    company.crash(SENDING, place)
    company.finished(broadcast)
    company.everybody_once(broadcast)


@pytest.mark.parametrize("place", ["pages_read", "pages_recorded"])
def test_a_worker_killed_while_reading_results_is_made_up_for(company: Company, place: str) -> None:
    broadcast = company.start()
    if company.stack.alive(READING):
        company.stack.kill(READING)
    company.work(SENDING)
    wait_until(lambda: company.state(broadcast) == "open", 60, lambda: company.report(broadcast))
    company.crash(READING, place)
    company.finished(broadcast)
    company.everybody_once(broadcast)


def test_a_time_out_after_wecom_accepted_is_not_sent_again(company: Company) -> None:
    company.stack.control.fault("timeout_after_success", api=SENDS, times=2)
    broadcast = company.start()
    company.work(SENDING, READING)
    unknown = "SELECT count(*) FROM effects WHERE state = 'unknown' AND next_at > now()"
    wait_until(lambda: company.stack.sql(unknown) == [(2,)], 60, lambda: company.report(broadcast))
    company.stack.sql(
        "UPDATE effects SET next_at = now() WHERE state = 'unknown'"
    )  # as if the pause had gone by
    company.finished(broadcast)
    company.everybody_once(broadcast)


def test_two_of_each_worker_send_everything_once(company: Company) -> None:
    broadcast = company.start()
    company.work(SENDING, READING)
    with Twin(company.stack, SENDING), Twin(company.stack, READING):
        company.finished(broadcast)
    company.everybody_once(broadcast)


class Twin:
    """A second worker of the same queue for a while."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.name = stack, name

    def __enter__(self) -> None:
        log = self.stack.log(f"{self.name}-twin")
        self.process = nursery().spawn(self.name.split(":"), self.stack.environment(), log)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from config.queues import Queue
from scrm.broadcasts import jobs
from scrm.broadcasts.models import Broadcast, BroadcastChunk, BroadcastKind, BroadcastTarget
from scrm.broadcasts.service import states, stopping
from scrm.customers.models import Customer
from scrm.groups.models import CustomerGroup
from scrm.kernel.clock import shifted
from scrm.kernel.db import session, transaction
from scrm.kernel.permissions import Scope
from scrm.sandbox.control import SandboxControl
from scrm.staff.models import Staff
from scrm.wecom.jobs import LANES
from tests.scrm.broadcasts.population import follow, make_broadcast, make_customers, make_group, make_staff

SENDS = "externalcontact/add_msg_template"
CANCELS = "externalcontact/cancel_groupmsg_send"
REMINDERS = "externalcontact/remind_groupmsg_send"
JOBS = (
    jobs.start_broadcasts,
    jobs.freeze_audiences,
    jobs.submit_chunks,
    LANES[Queue.BROADCAST],
    jobs.stop_tasks,
    jobs.poll_results,
)


@dataclass
class Corp:
    """The same members, customers and groups in the sandbox and in our database."""

    control: SandboxControl
    staff: list[Staff]
    customers: list[Customer]
    groups: list[CustomerGroup]

    def broadcast(self, **fields: Any) -> Broadcast:
        """A draft, committed."""
        with transaction():
            return make_broadcast(session(), **fields)

    def started(self, **fields: Any) -> Broadcast:
        """A broadcast that was just started."""
        made = self.broadcast(**fields)
        with transaction():
            states.start_broadcast(made.id, Scope.all())
        return made

    def change(self, verb: str, broadcast: Broadcast) -> None:
        """Pause, resume or cancel as the API does."""
        module = states if verb == "resume" else stopping
        with transaction():
            getattr(module, f"{verb}_broadcast")(broadcast.id, Scope.all())

    def work(self, *only: Any) -> None:
        """Run every job that says it is due, until none does: what clock and workers do."""
        chosen = only or JOBS
        for _ in range(100):
            due = [job for job in chosen if job.due is not None and job.due()]
            session().rollback()
            if not due:
                return
            for job in due:
                job()
        raise AssertionError(f"still due after 100 rounds: {[job.name for job in due]}")

    def work_later(self, seconds: float, **options: Any) -> None:
        """Let time pass here and at WeCom, then work."""
        self.control.advance_clock(seconds)
        with shifted(timedelta(seconds=seconds)):
            self.work(**options)

    def accepted(self, api: str = SENDS) -> list[dict[str, Any]]:
        """Bodies of the calls that WeCom carried out."""
        return [call["body"] for call in self.control.log(api=api)]

    def reached(self) -> list[str]:
        """Every recipient WeCom was given, once per time it was given."""
        bodies = self.accepted()
        return sorted(
            name for body in bodies for name in body.get("external_userid") or body.get("chat_id_list")
        )

    def targets(self, broadcast: Broadcast) -> dict[str, BroadcastTarget]:
        """Recipients by name, as the database has them."""
        statement = select(BroadcastTarget).filter_by(broadcast_id=broadcast.id)
        return {row.recipient: row for row in session().scalars(fresh(statement))}

    def chunks(self, broadcast: Broadcast) -> list[BroadcastChunk]:
        """Chunks in order, as the database has them."""
        statement = select(BroadcastChunk).filter_by(broadcast_id=broadcast.id).order_by(BroadcastChunk.id)
        return list(session().scalars(fresh(statement)))

    def state(self, broadcast: Broadcast) -> str:
        """Its state, as the database has it."""
        session().refresh(broadcast)
        return broadcast.state.value


def fresh(statement: Any) -> Any:
    return statement.execution_options(populate_existing=True)


@pytest.fixture
def corp(committed: Session, sandbox: SandboxControl) -> Iterator[Callable[..., Corp]]:
    """Make a corp of ``members``, each with ``customers`` of their own and ``groups``; members do not confirm by themselves."""

    def make(members: int = 1, customers: int = 0, groups: int = 0) -> Corp:
        sandbox.set_limits(staff_confirm_seconds=None, mass_send_dispatch_seconds=0)
        userids = sandbox.population(members=members, customers=0)["members"]
        made = Corp(sandbox, make_staff(committed, *userids), [], [])
        for member in made.staff:
            people = sandbox.add(member.userid, count=customers) if customers else []
            names = [person["external_userid"] for person in people]
            for customer in make_customers(committed, *names):
                follow(committed, member, customer)
                made.customers.append(customer)
            for _ in range(groups):
                chat_id = sandbox.create_group(member.userid, [])["chat_id"]
                made.groups.append(make_group(committed, chat_id, member))
        committed.commit()
        return made

    yield make
    sandbox.set_limits(staff_confirm_seconds=2.0, mass_send_dispatch_seconds=1.0)


GROUPS = {"kind": BroadcastKind.GROUPS}

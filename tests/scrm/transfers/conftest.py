from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from config.queues import Queue
from scrm.customers import jobs as customer_jobs
from scrm.customers.models import Customer, Follow
from scrm.groups import jobs as group_jobs
from scrm.groups.models import CustomerGroup
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.kernel.permissions import Actor, Permission, Scope
from scrm.kernel.redis import redis
from scrm.sandbox.control import SandboxControl
from scrm.staff.models import Staff
from scrm.transfers import jobs
from scrm.transfers.models import Matter, PlanKind, TransferItem, TransferPlan, UnassignedCustomer
from scrm.transfers.service.activation import activate_plan
from scrm.transfers.service.plans import create_plan
from scrm.wecom.jobs import LANES
from tests.scrm.broadcasts.population import follow, make_customers, make_group, make_staff

ON_JOB, RESIGNED = "externalcontact/transfer_customer", "externalcontact/resigned/transfer_customer"
DAY = 86_400
PERSON = Actor("test", frozenset(Permission), Scope.all())
JOBS = (
    jobs.ask_for_transfers,
    LANES[Queue.BROADCAST],
    jobs.read_results,
    jobs.look_at_transferred_groups,
    jobs.follow_up,
    jobs.copy_tags,
    customer_jobs.refresh_customers,
    group_jobs.refresh_groups,
)


def rule(*staff: Staff, **more: Any) -> dict[str, Any]:
    """One share for these members."""
    share = {"members": [{"staff_id": member.id, "weight": 1} for member in staff]}
    return {"shares": [share], "existing": False, "keep_together": False, **more}


@dataclass
class Corp:
    """The same members, customers and groups in the sandbox and in our database."""

    control: SandboxControl
    app: Flask
    staff: list[Staff]
    customers: list[Customer] = field(default_factory=list)
    groups: list[CustomerGroup] = field(default_factory=list)
    late: float = 0.0

    def plan(self, kind: PlanKind = PlanKind.ON_JOB, *, handover: int = 0, **fields: Any) -> TransferPlan:
        """A draft, committed; by default everybody of the first member to the others."""
        data = {
            "kind": kind, "from_staff_id": self.staff[handover].id, "matter": Matter.CUSTOMERS, "copy_tags": False,
            **({} if "pairs" in fields or "rule" in fields else {"rule": rule(*self.others(handover))}), **fields,
        }  # fmt: skip
        with transaction():
            return create_plan(data, PERSON)

    def others(self, handover: int = 0) -> list[Staff]:
        return [member for number, member in enumerate(self.staff) if number != handover]

    def started(self, *args: Any, **fields: Any) -> TransferPlan:
        """A plan that was just activated."""
        made = self.plan(*args, **fields)
        with transaction():
            activate_plan(made.id, Scope.all())
        return made

    def leave(self, member: Staff) -> None:
        """A member resigns, and both sides know."""
        self.control.delete_staff(member.userid)
        session().refresh(member)
        member.left_at, member.status = utcnow(), 5
        session().commit()

    def work(self, *only: Any, rounds: int = 60) -> None:
        """Run every job that says it is due, until none does: what clock and workers do."""
        chosen = only or JOBS
        with shifted(timedelta(seconds=self.late)):
            for _ in range(rounds):
                due = [job for job in chosen if job.due is not None and job.due()]
                session().rollback()
                if not due:
                    return
                for job in due:
                    job()
        raise AssertionError(f"still due after {rounds} rounds: {[job.name for job in due]}")

    def wait(self, seconds: float) -> None:
        """Let time pass here and at WeCom; its token is a new one then."""
        self.control.advance_clock(seconds)
        self.late += seconds
        self.app.extensions.pop("scrm_wecom", None)
        redis().flushdb()

    def later(self, seconds: float) -> None:
        """Let time pass, then work."""
        self.wait(seconds)
        self.work()

    def asked(self, api: str = ON_JOB) -> list[dict[str, Any]]:
        """Bodies of the calls that WeCom carried out."""
        return [call["body"] for call in self.control.log(api=api)]

    def named(self, api: str = ON_JOB) -> Counter[str]:
        """How often WeCom was asked about each customer or group."""
        names = [body.get("external_userid") or body.get("chat_id_list") for body in self.asked(api)]
        return Counter(name for some in names for name in some)

    def items(self, plan: TransferPlan) -> list[TransferItem]:
        """Its items in order, as the database has them."""
        statement = select(TransferItem).filter_by(plan_id=plan.id).order_by(TransferItem.id)
        return list(session().scalars(statement.execution_options(populate_existing=True)))

    def states(self, plan: TransferPlan) -> Counter[str]:
        return Counter(item.state.value for item in self.items(plan))

    def state(self, plan: TransferPlan) -> str:
        session().refresh(plan)
        return plan.state.value

    def item(self, plan: TransferPlan, customer: Customer) -> TransferItem:
        return next(item for item in self.items(plan) if item.customer_id == customer.id)

    def follows(self, customer: Customer) -> dict[int, Follow]:
        """Relations of a customer by member."""
        statement = select(Follow).filter_by(customer_id=customer.id)
        return {
            row.staff_id: row
            for row in session().scalars(statement.execution_options(populate_existing=True))
        }

    def unassigned(self) -> list[UnassignedCustomer]:
        statement = select(UnassignedCustomer).order_by(UnassignedCustomer.id)
        return list(session().scalars(statement.execution_options(populate_existing=True)))


@pytest.fixture
def corp(committed: Session, sandbox: SandboxControl, app: Flask) -> Iterator[Callable[..., Corp]]:
    """Make a corp of ``members``; the first one has ``customers`` and ``groups``."""

    def make(members: int = 2, customers: int = 0, groups: int = 0) -> Corp:
        sandbox.set_limits(transfer_seconds=DAY)
        userids = sandbox.population(members=members, customers=0)["members"]
        made = Corp(sandbox, app, make_staff(committed, *userids))
        first = made.staff[0]
        people = sandbox.add(first.userid, count=customers) if customers else []
        made.customers = make_customers(committed, *[person["external_userid"] for person in people])
        for customer in made.customers:
            follow(committed, first, customer)
        for _ in range(groups):
            chat_id = sandbox.create_group(first.userid, [])["chat_id"]
            made.groups.append(make_group(committed, chat_id, first, refreshed_at=utcnow()))
        committed.commit()
        return made

    yield make
    app.extensions.pop("scrm_wecom", None)

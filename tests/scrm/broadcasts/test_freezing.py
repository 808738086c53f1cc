from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from scrm.broadcasts.models import (
    Broadcast,
    BroadcastChunk,
    BroadcastKind,
    BroadcastState,
    BroadcastTarget,
    TargetState,
)
from scrm.broadcasts.queries import audience
from scrm.broadcasts.queries.broadcasts import broadcast_plan
from scrm.broadcasts.service.freezing import StateMovedError, freeze_audience
from scrm.broadcasts.service.states import move
from scrm.broadcasts.service.stopping import cancel_broadcast
from scrm.conversations.models import Channel, Direction, Message
from scrm.groups.models import GroupStatus
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, transaction
from scrm.kernel.permissions import Scope
from tests.scrm.broadcasts.population import follow, make_broadcast, make_customers, make_group, make_staff


def frozen(session: Session, **fields: object) -> Broadcast:
    broadcast = make_broadcast(session, state=BroadcastState.PLANNING, **fields)
    assert freeze_audience(broadcast.id)
    session.refresh(broadcast)
    return broadcast


def targets(session: Session, broadcast: Broadcast) -> dict[str, BroadcastTarget]:
    rows = session.scalars(select(BroadcastTarget).filter_by(broadcast_id=broadcast.id))
    return {row.recipient: row for row in rows}


def says(session: Session, staff_id: int, customer_id: int, days_ago: float, key: str) -> None:
    session.add(
        Message(
            sent_at=utcnow() - timedelta(days=days_ago),
            channel=Channel.KF,
            message_key=key,
            direction=Direction.OUT,
            kind="text",
            content={},
            customer_id=customer_id,
            staff_id=staff_id,
        )
    )
    session.flush()


def test_a_customer_held_by_five_members_gets_one_message(session: Session) -> None:
    members = make_staff(session, "a", "b", "c", "d", "e")
    [customer] = make_customers(session, "wm1")
    for days, member in enumerate(members, start=1):
        follow(session, member, customer, days_ago=days)
    broadcast = frozen(session)
    found = targets(session, broadcast)
    assert list(found) == ["wm1"]
    assert found["wm1"].sender_staff_id == members[0].id  # the newest relation, nobody has talked
    assert found["wm1"].state is TargetState.PLANNED
    [chunk] = session.scalars(select(BroadcastChunk))
    assert (chunk.recipients, chunk.number, found["wm1"].chunk_id) == (1, 1, chunk.id)
    assert broadcast.state is BroadcastState.SUBMITTING
    assert broadcast.frozen_at is not None


def test_the_member_who_talked_last_is_the_owner(session: Session) -> None:
    old, new = make_staff(session, "old", "new")
    [customer] = make_customers(session, "wm1")
    follow(session, old, customer, days_ago=100)
    follow(session, new, customer, days_ago=1)
    says(session, new.id, customer.id, 3, "m1")
    says(session, old.id, customer.id, 2, "m2")
    assert targets(session, frozen(session))["wm1"].sender_staff_id == old.id


def test_a_member_who_cannot_send_never_owns_while_another_can(session: Session) -> None:
    [able] = make_staff(session, "able")
    [left] = make_staff(session, "left", left_at=utcnow(), status=5)
    [customer] = make_customers(session, "wm1")
    follow(session, left, customer, days_ago=1)
    follow(session, able, customer, days_ago=50)
    says(session, left.id, customer.id, 1, "m1")
    assert targets(session, frozen(session))["wm1"].sender_staff_id == able.id


@pytest.mark.parametrize(
    "fields",
    [{"left_at": utcnow()}, {"status": 2}, {"status": 4}, {"follows_customers": False}],
    ids=["left", "disabled", "not activated", "without the customer feature"],
)
def test_customers_of_a_member_who_cannot_send_are_skipped_with_the_reason(
    session: Session, fields: dict
) -> None:
    [unable] = make_staff(session, "unable", **fields)
    [able] = make_staff(session, "able")
    lost, kept = make_customers(session, "wm-lost", "wm-kept")
    follow(session, unable, lost)
    follow(session, able, kept)
    found = targets(session, frozen(session))
    assert (found["wm-lost"].state, found["wm-lost"].reason) == (TargetState.SKIPPED, "sender_unavailable")
    assert found["wm-lost"].chunk_id is None
    assert found["wm-kept"].state is TargetState.PLANNED


def test_a_member_of_whom_wecom_was_not_asked_yet_counts_as_able(session: Session) -> None:
    [stub] = make_staff(session, "stub", status=None, follows_customers=False, refreshed_at=None)
    [customer] = make_customers(session, "wm1")
    follow(session, stub, customer)
    assert targets(session, frozen(session))["wm1"].state is TargetState.PLANNED


def test_only_full_relations_carry_a_message(session: Session) -> None:
    [member] = make_staff(session, "a")
    half, gone, deleted, full = make_customers(session, "wm-half", "wm-gone", "wm-deleted", "wm-full")
    follow(session, member, half, half_added_at=utcnow()).added_at = None
    follow(session, member, gone, deleted_by_customer_at=utcnow())
    follow(session, member, deleted, deleted_by_staff_at=utcnow())
    follow(session, member, full)
    session.flush()
    found = targets(session, frozen(session))
    reasons = {name: row.reason for name, row in found.items()}
    assert reasons == {
        "wm-half": "no_active_follow",
        "wm-gone": "no_active_follow",
        "wm-deleted": "no_active_follow",
        "wm-full": None,
    }


def test_chunks_hold_one_sender_and_at_most_the_size(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audience.CHUNK_SIZE, BroadcastKind.CUSTOMERS, 3)
    a, b = make_staff(session, "a", "b")
    customers = make_customers(session, *(f"wm{i}" for i in range(10)))
    for i, customer in enumerate(customers):
        follow(session, a if i < 7 else b, customer)
    broadcast = frozen(session)
    chunks = session.scalars(select(BroadcastChunk).order_by(BroadcastChunk.id)).all()
    assert [(c.sender_staff_id, c.number, c.recipients) for c in chunks] == [
        (a.id, 1, 3),
        (b.id, 1, 3),
        (a.id, 2, 3),
        (a.id, 3, 1),
    ]
    counted = select(BroadcastTarget.chunk_id, func.count()).group_by(BroadcastTarget.chunk_id)
    assert {row.chunk_id: row[1] for row in session.execute(counted)} == {c.id: c.recipients for c in chunks}
    senders = {(row.chunk_id, row.sender_staff_id) for row in targets(session, broadcast).values()}
    assert len(senders) == len(chunks)


def test_nobody_is_cut_off_at_ten_thousand(session: Session) -> None:
    [member] = make_staff(session, "a")
    session.execute(
        text("INSERT INTO customers (external_userid) SELECT 'wm' || n FROM generate_series(1, 20001) n")
    )
    session.execute(
        text("INSERT INTO follows (customer_id, staff_id, added_at) SELECT id, :staff, now() FROM customers"),
        {"staff": member.id},
    )
    broadcast = frozen(session)
    sizes = session.scalars(
        select(BroadcastChunk.recipients).filter_by(broadcast_id=broadcast.id).order_by(BroadcastChunk.number)
    ).all()
    assert sizes == [10_000, 10_000, 1]
    planned = select(func.count()).where(BroadcastTarget.state == TargetState.PLANNED)
    assert session.scalar(planned) == 20_001


def test_a_condition_chooses_the_audience(session: Session) -> None:
    [member] = make_staff(session, "a")
    anna, bert = make_customers(session, "wm-anna", "wm-bert")
    follow(session, member, anna)
    follow(session, member, bert)
    condition = {"kind": "field_equals", "field": "customer.name", "value": "wm-anna"}
    assert list(targets(session, frozen(session, audience={"condition": condition}))) == ["wm-anna"]


def test_explicit_ids_choose_the_audience(session: Session) -> None:
    [member] = make_staff(session, "a")
    anna, bert = make_customers(session, "wm-anna", "wm-bert")
    follow(session, member, anna)
    follow(session, member, bert)
    assert list(targets(session, frozen(session, audience={"customer_ids": [bert.id]}))) == ["wm-bert"]


def test_a_condition_that_names_something_gone_fails_with_the_reason(session: Session) -> None:
    make_customers(session, "wm1")
    condition = {"not": {"kind": "has_tag", "tag_ids": [4711]}}
    broadcast = frozen(session, audience={"condition": condition})
    assert broadcast.state is BroadcastState.FAILED
    assert "4711" in (broadcast.error or "")
    assert session.scalar(select(func.count()).select_from(BroadcastTarget)) == 0


def test_an_audience_nobody_can_reach_fails_and_says_why_for_each(session: Session) -> None:
    make_customers(session, "wm1", "wm2")
    broadcast = frozen(session)
    assert broadcast.state is BroadcastState.FAILED
    assert broadcast.finished_at is not None
    assert {row.reason for row in targets(session, broadcast).values()} == {"no_active_follow"}


def test_groups_go_out_through_their_owners(session: Session) -> None:
    [owner] = make_staff(session, "owner")
    [left] = make_staff(session, "left", left_at=utcnow())
    make_group(session, "wr-good", owner)
    make_group(session, "wr-dismissed", owner, status=GroupStatus.DISMISSED)
    make_group(session, "wr-ownerless", None)
    make_group(session, "wr-orphan", left)
    found = targets(session, frozen(session, kind=BroadcastKind.GROUPS))
    assert {name: (row.state.value, row.reason) for name, row in found.items()} == {
        "wr-good": ("planned", None),
        "wr-dismissed": ("skipped", "group_dismissed"),
        "wr-ownerless": ("skipped", "group_without_owner"),
        "wr-orphan": ("skipped", "sender_unavailable"),
    }
    assert found["wr-good"].sender_staff_id == owner.id
    assert found["wr-good"].customer_id is None


def test_who_had_as_many_as_a_month_allows_is_skipped(session: Session) -> None:
    [member] = make_staff(session, "a")
    full, fresh = make_customers(session, "wm-full", "wm-fresh")
    for customer in (full, fresh):
        follow(session, member, customer)
    for _ in range(31):
        earlier = make_broadcast(session, state=BroadcastState.FINISHED, frozen_at=utcnow())
        session.add(
            BroadcastTarget(
                broadcast_id=earlier.id,
                recipient="wm-full",
                customer_id=full.id,
                state=TargetState.SENT,
                sent_at=utcnow(),
            )
        )
    session.flush()
    draft = make_broadcast(session)
    plan = broadcast_plan(draft.id, Scope.all())
    assert plan["monthly_cap"]["reached"] == 1
    found = targets(session, frozen(session))
    assert (found["wm-full"].state, found["wm-full"].reason) == (TargetState.SKIPPED, "monthly_cap")
    assert found["wm-fresh"].state is TargetState.PLANNED


def test_a_limited_key_reaches_only_its_own_customers(session: Session) -> None:
    mine, other = make_staff(session, "mine", "other")
    shared, foreign = make_customers(session, "wm-shared", "wm-foreign")
    follow(session, mine, shared, days_ago=9)
    follow(session, other, shared, days_ago=1)
    follow(session, other, foreign)
    found = targets(session, frozen(session, scope_staff_ids=[mine.id]))
    assert list(found) == ["wm-shared"]
    assert found["wm-shared"].sender_staff_id == mine.id


def test_the_dry_run_says_what_the_freeze_then_does_and_changes_nothing(session: Session) -> None:
    a, b = make_staff(session, "a", "b")
    customers = make_customers(session, *(f"wm{i}" for i in range(6)))
    for i, customer in enumerate(customers[:5]):
        follow(session, a if i < 3 else b, customer)
    broadcast = make_broadcast(session)
    before = broadcast_plan(broadcast.id, Scope.all())
    assert session.scalar(select(func.count()).select_from(BroadcastTarget)) == 0
    assert broadcast.state is BroadcastState.DRAFT
    assert (before["recipients"], before["tasks"], before["frozen"]) == (5, 2, False)
    assert before["skipped"] == {"total": 1, "reasons": {"no_active_follow": 1}}
    assert [(s["userid"], s["recipients"], s["tasks"]) for s in before["senders"]] == [
        ("a", 3, 1),
        ("b", 2, 1),
    ]
    move([broadcast.id], BroadcastState.PLANNING)
    freeze_audience(broadcast.id)
    after = broadcast_plan(broadcast.id, Scope.all())
    assert after["frozen"]
    assert {k: v for k, v in before.items() if k != "frozen"} == {
        k: v for k, v in after.items() if k != "frozen"
    }


def test_freezing_twice_does_nothing(session: Session) -> None:
    [member] = make_staff(session, "a")
    [customer] = make_customers(session, "wm1")
    follow(session, member, customer)
    broadcast = frozen(session)
    assert not freeze_audience(broadcast.id)
    assert session.scalar(select(func.count()).select_from(BroadcastChunk)) == 1


def test_a_cancel_does_not_wait_for_the_freeze_and_wins(committed: Session, app: Flask) -> None:
    [member] = make_staff(committed, "a")
    [customer] = make_customers(committed, "wm1")
    follow(committed, member, customer)
    broadcast = make_broadcast(committed, state=BroadcastState.PLANNING)
    committed.commit()
    with ThreadPoolExecutor(1) as pool, db.engine.connect() as blocker:
        blocker.execute(text("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE"))  # the freeze stands still here
        freezing = pool.submit(freeze_elsewhere, app, broadcast.id)
        wait_for_lock(blocker)
        with transaction():
            cancel_broadcast(
                broadcast.id,
                Scope.all(),
            )
        blocker.rollback()
        with pytest.raises(StateMovedError):
            freezing.result(60)
    assert committed.scalar(select(Broadcast.state)) is BroadcastState.CANCELLED
    assert committed.scalar(select(func.count()).select_from(BroadcastTarget)) == 0


def freeze_elsewhere(app: Flask, broadcast_id: int) -> None:
    with app.app_context(), transaction():
        freeze_audience(broadcast_id)


def wait_for_lock(connection: Connection) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    end = time.monotonic() + 60
    while not connection.scalar(waiting):
        assert time.monotonic() < end, "the freeze never came to the locked table"
        time.sleep(0.01)

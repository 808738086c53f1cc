"""A mass deletion is one alarm; the lines about each deletion in it are not sent besides to who gets the alarm."""

from __future__ import annotations

import pytest

from scrm.alerts.service import plan_messages
from scrm.kernel.db import transaction
from scrm.losses.jobs import tell_losses
from tests.scrm.losses.conftest import alerts, deleted, left, record


@pytest.fixture
def alarm_at(configure):
    """Alarms at three deletions within ten minutes; operators are boss. Keyword arguments are other settings."""

    def change(muted=(), told=("manager",)):
        configure(
            losses={"alarm_count": 3, "alarm_minutes": 10.0, "told_when_member_deletes": told},
            alerts={"operators": ("boss",), "muted_kinds": muted},
        )

    change()
    return change


def deletions(*minutes, staff="zs", who="del"):
    record(*(deleted(one, who=f"{who}{one}", staff=staff) for one in minutes))
    tell_losses()


def lines():
    """(state, reason) of the lines about single losses, oldest first."""
    return [(entry.state, entry.reason) for entry in alerts(kind="loss")]


HELD, WAITS = ("silenced", "in an alarm"), ("pending", None)


def test_lines_that_wait_give_way_to_the_alarm(people, alarm_at):
    deletions(0, 1)
    assert lines() == [WAITS] * 2
    deletions(2)
    assert lines() == [HELD] * 3
    assert {entry.state for entry in alerts(kind="mass_delete")} == {"pending"}
    deletions(3, 4)
    assert lines() == [HELD] * 5, "what follows is part of the alarm"


def test_the_message_is_the_alarm_alone(people, alarm_at):
    deletions(0, 1, 2)
    with transaction():
        assert plan_messages() == 2  # chief and boss
    told = [entry.kind for entry in alerts() if entry.effect_id]
    assert told == ["mass_delete"] * 2


def test_what_was_sent_before_stays_sent(people, alarm_at):
    deletions(0, 1)
    sent = alerts(kind="loss")[0]
    with transaction():
        sent.state = "sent"
    deletions(2)
    assert lines() == [("sent", None), HELD, HELD]


def test_other_losses_are_told_one_by_one(people, alarm_at):
    deletions(0, 1, 2)
    deletions(1, 2, staff="ls", who="other")
    record(left(1, who="mine"))
    deletions(25)
    assert lines() == [HELD] * 3 + [WAITS] * 4


def test_the_member_reads_of_their_own_deletions_as_before(people, alarm_at):
    alarm_at(told=("staff", "manager"))
    deletions(0, 1, 2)
    by_receiver = {(entry.receiver_id, entry.state) for entry in alerts(kind="loss")}
    assert by_receiver == {(people["zs"], "pending"), (people["chief"], "silenced")}


def test_where_alarms_are_muted_the_lines_are_sent(people, alarm_at):
    alarm_at(muted=("mass_delete",))
    deletions(0, 1, 2)
    assert lines() == [WAITS] * 3


def test_an_alarm_that_is_taken_back_lets_the_lines_go(people, alarm_at):
    deletions(0, 1)
    record(deleted(2, who="wm1"))
    tell_losses()
    assert lines() == [HELD] * 3
    record(left(-30, who="wm1"))
    tell_losses()
    assert lines()[:2] == [WAITS] * 2

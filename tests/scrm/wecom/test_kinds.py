"""The contract every kind of effect keeps."""

from __future__ import annotations

import pytest

from config.queues import Queue
from scrm.wecom.jobs import LANES
from scrm.wecom.models import Priority
from scrm.wecom.registry import QUESTION, kind_named, kinds
from tests.scrm.wecom.test_unclear_calls import KINDS

TOLD_ELSEWHERE = {"mark_tag", "broadcast", "broadcast_remind", "add_welcome_template"}
QUEUES = {
    Queue.URGENT: {"welcome", "kf_message", "kf_event_message", "kf_transfer", "staff_message"},
    Queue.EVENTS: {
        "mark_tag", "remark", "add_tag", "edit_tag", "delete_tag",
        "add_contact_way", "update_contact_way", "delete_contact_way",
        "add_join_way", "update_join_way", "delete_join_way",
        "add_welcome_template", "edit_welcome_template", "delete_welcome_template",
        "add_acquisition_link", "update_acquisition_link", "delete_acquisition_link",
    },
    Queue.BROADCAST: {
        "broadcast", "broadcast_cancel", "broadcast_remind",
        "transfer_customer", "resigned_transfer_customer", "group_transfer", "group_onjob_transfer",
    },
    Queue.BACKGROUND: set(),
}  # fmt: skip


@pytest.mark.parametrize("queue", Queue)
def test_every_kind_has_its_lane(queue):
    assert {kind.name for kind in kinds().values() if kind.queue == queue} == QUEUES[queue]
    assert LANES[queue].queue == queue


@pytest.mark.parametrize("name", sorted(kinds()))
def test_every_kind_keeps_the_contract(name):
    kind = kind_named(name)
    assert kind.send.__module__.startswith("scrm.wecom")
    assert (kind.ask is None) == (name == "broadcast_remind")  # WeCom tells of everything else
    assert isinstance(kind.priority, Priority)
    assert 0 < kind.backoff[0] <= kind.backoff[1]
    assert kind.ask_after > 0
    zh, en = kind.question
    assert (zh, en) != QUESTION  # a person is told where to look for this very change
    assert not zh.isascii()
    assert en.endswith((".", "?"))
    if kind.queue == Queue.URGENT:
        assert kind.read_timeout is not None
        assert kind.read_timeout <= 5


def test_every_kind_is_tried_without_an_answer():
    assert set(kinds()) == set(KINDS) | TOLD_ELSEWHERE


def test_a_kind_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(KeyError, match="mark_tag"):
        kind_named("marktag")

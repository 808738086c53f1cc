"""Tags of relations that differ: take what WeCom shows, send what we hold, or only say so."""

import pytest
from sqlalchemy import select

from scrm.kernel.clock import shifted
from scrm.kernel.db import transaction
from scrm.wecom.models import Effect
from tags.catalog.service.editing import create_group
from tags.jobs import push_assignments
from tags.models import Push, Tag, TagAssignment
from tags.service import Wish, assign
from tests.scrm.sync.conftest import LATER, later_sync, living, relations, sync, truth
from tests.scrm.wecom.conftest import carry_out

PEOPLE = {"entities": ["staff", "tags", "customers"]}


@pytest.fixture
def differing(corp, committed):
    """One relation lost a tag at WeCom, another gained one there, and nobody heard of it: (lost, gained, tag ids)."""
    sync(**PEOPLE)
    keys = sorted(relations(committed))
    tagged = next(key for key, row in sorted(living(committed).items()) if row[4])
    bare = next(key for key in keys if not living(committed)[key][4])
    tag = corp.state_ids("tag")[0]
    corp.edit(tagged[1], tagged[0], tags=[])
    corp.edit(bare[1], bare[0], tags=[tag])
    return tagged, bare, living(committed)[tagged][4], tag


def states(committed, key):
    committed.rollback()
    rows = (
        select(Tag.wecom_id, TagAssignment.state)
        .join(Tag, Tag.id == TagAssignment.tag_id)
        .where(TagAssignment.follow_id == relations(committed)[key][1].id)
    )
    return dict(committed.execute(rows).all())


def test_by_default_wecoms_side_is_taken_over_and_nothing_is_sent(corp, committed, differing):
    later_sync(**PEOPLE)
    assert living(committed) == truth(corp)
    with transaction():
        push_assignments.func()
    assert committed.scalars(select(Effect)).all() == []


def test_repairing_wecoms_side_sends_what_we_hold(corp, committed, differing):
    tagged, bare, held, extra = differing
    run = later_sync(**PEOPLE, repair_tags="wecom")
    assert states(committed, tagged) == dict.fromkeys(held, "pending_add")
    assert states(committed, bare) == {extra: "pending_remove"}
    assert run.counts["customer_tags"]["new"] == 1
    with shifted(LATER + LATER):
        push_assignments.func()
        carry_out("mark_tag")
    assert truth(corp)[tagged][4] == held
    assert truth(corp)[bare][4] == frozenset()
    assert living(committed) == truth(corp)


def test_reporting_only_changes_neither_side(corp, committed, differing):
    tagged, bare, held, _ = differing
    run = later_sync(**PEOPLE, repair_tags="none")
    assert states(committed, tagged) == dict.fromkeys(held, "active")
    assert states(committed, bare) == {}
    assert run.counts["customer_tags"]["new"] == 1
    assert truth(corp)[tagged][4] == frozenset()


def test_what_waits_to_be_told_to_wecom_is_neither_taken_back_nor_lost(corp, committed):
    sync(**PEOPLE)
    key = next(key for key, row in sorted(living(committed).items()) if not row[4])
    tag = committed.scalars(select(Tag).where(Tag.wecom_id.is_not(None)).order_by(Tag.id)).first()
    with transaction():
        assign([Wish(relations(committed)[key][1].id, tag.id, "manual:op", add=True)])
    later_sync(**PEOPLE)
    assert states(committed, key) == {tag.wecom_id: "pending_add"}


def test_a_tag_made_at_wecom_after_the_list_was_read_is_remembered_and_found(corp, committed):
    sync(**PEOPLE)
    key = min(relations(committed))
    made = corp.create_tags("晚到", ["新标签"])["tags"]["新标签"]
    corp.edit(key[1], key[0], tags=[made])
    later_sync(entities=["customers"])  # the list of tags is not read by this one
    later_sync(entities=["tags"])
    assert states(committed, key)[made] == "active"


@pytest.mark.parametrize("repair", ["ours", "wecom"])
def test_tags_that_are_kept_here_alone_are_no_difference(corp, committed, repair):
    sync(**PEOPLE)
    key = next(key for key, row in sorted(living(committed).items()) if not row[4])
    follow_id = relations(committed)[key][1].id
    with transaction():
        group = create_group("内部", 0, [{"name": "重点", "position": 0}], Push.LOCAL)
        tag_id = committed.scalar(select(Tag.id).where(Tag.group_id == group.id))
        assign([Wish(follow_id, tag_id, "manual:op", add=True)])
    later_sync(**PEOPLE, repair_tags=repair)
    assert states(committed, key)[None] == "active"
    assert committed.scalars(select(Effect)).all() == []

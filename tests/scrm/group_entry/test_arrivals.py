"""Who came through a code: customers get its tags once per stay, strangers when they become customers."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from scrm.customers.events import FollowChanged, LostBy
from scrm.customers.models import Follow
from scrm.customers.service.recording import Add, Deletion, record_adds, record_deletions
from scrm.group_entry.jobs import find_missed_joins
from scrm.groups.service.recording import GroupEvent, GroupFact, record_group_events
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from tags.models import Tag, TagAssignment, TagGroup, TagSource
from tags.service import overrule


@pytest.fixture
def tag(committed):
    """A tag that WeCom knows already."""
    group = TagGroup(wecom_id="etgroup", name="来源")
    committed.add(group)
    committed.flush()
    made = Tag(wecom_id="ettag", group_id=group.id, name="福利群")
    committed.add(made)
    committed.commit()
    return made.id


@pytest.fixture
def code(company, tag):
    return company.code(company.group(), tag_ids=[tag])


def add(company, external_userid, at=None, userid=None):
    with transaction():
        record_adds([Add(userid or company.userids[0], external_userid, at or utcnow())])


def carried(session):
    """(external side's follow id, state of the tag, its sources)."""
    session.expire_all()
    rows = session.execute(
        select(TagAssignment.follow_id, TagAssignment.state, TagSource.source)
        .outerjoin(TagSource, TagSource.assignment_id == TagAssignment.id)
        .order_by(TagAssignment.follow_id)
    )
    return [tuple(row) for row in rows]


def test_a_customer_who_joins_gets_the_tags_on_every_relation(company, committed, code):
    person = company.sandbox.add(company.userids[0])[0]["external_userid"]
    add(company, person)
    add(company, person, userid=company.userids[1])
    assert carried(committed) == []
    company.scan(code, external_userid=person)
    assert {(state, source) for _, state, source in carried(committed)} == {
        ("pending_add", f"group_code:{code['id']}")
    }
    assert len(carried(committed)) == 2


def test_a_stranger_gets_them_with_the_first_relation(company, committed, code):
    (one,) = company.scan(code)
    assert carried(committed) == []
    add(company, one["external_userid"])
    assert [source for _, _, source in carried(committed)] == [f"group_code:{code['id']}"]


def test_a_relation_seen_without_its_add_counts_too(company, committed, code):
    (one,) = company.scan(code)
    committed.execute(
        text("INSERT INTO customers (external_userid) VALUES (:e)"), {"e": one["external_userid"]}
    )
    committed.execute(
        text("""INSERT INTO follows (customer_id, staff_id, added_at)
        SELECT c.id, s.id, now() FROM customers c, staff s WHERE c.external_userid = :e AND s.userid = :u"""),
        {"e": one["external_userid"], "u": company.userids[0]},
    )
    committed.commit()
    follow = committed.scalars(select(Follow)).one()
    with transaction():
        publish(FollowChanged(follow.id, follow.customer_id, follow.staff_id))
    assert len(carried(committed)) == 1


def test_a_tag_somebody_took_off_stays_off_until_they_join_again(company, committed, code, tag):
    (one,) = company.scan(code)
    add(company, one["external_userid"])
    follow = committed.scalars(select(Follow)).one()
    with transaction():
        overrule([(follow.id, tag)], "manual:boss")
    with transaction():
        publish(FollowChanged(follow.id, follow.customer_id, follow.staff_id))
    find_missed_joins()
    assert [(state, source) for _, state, source in carried(committed)] == [("removed", None)]
    company.sandbox.leave_group(one["chat_id"], [one["external_userid"]])
    with shifted(timedelta(minutes=1)):
        company.read(one["chat_id"])
    company.sandbox.advance_clock(3600)
    with shifted(timedelta(hours=1)):
        company.scan(code, external_userid=one["external_userid"])
    assert [source for _, _, source in carried(committed)] == [f"group_code:{code['id']}"]


def test_after_a_loss_the_next_add_brings_them_again(company, committed, code, tag):
    (one,) = company.scan(code)
    person, start = one["external_userid"], utcnow() + timedelta(seconds=1)
    add(company, person, start)
    follow = committed.scalars(select(Follow)).one()
    with transaction():
        record_deletions([Deletion(company.userids[0], person, start + timedelta(hours=1), LostBy.STAFF)])
        overrule([(follow.id, tag)], "manual:wecom")
    add(company, person, start + timedelta(hours=2))
    assert [source for _, _, source in carried(committed)] == [f"group_code:{code['id']}"]


def test_a_join_told_by_a_callback_is_tagged_when_the_group_was_read(company, committed, code, sandbox):
    (group,) = code["groups"]
    person = company.sandbox.add(company.userids[0])[0]["external_userid"]
    add(company, person)
    version = committed.scalar(text("SELECT member_version FROM customer_groups"))
    sandbox.scan_group(config_id=code["config_id"], external_userid=person)
    with transaction():
        event = GroupEvent(group["chat_id"], GroupFact.JOINED, utcnow(), (person,), None, (version, "next"))
        record_group_events([event])
    assert committed.scalar(text("SELECT count(*) FROM group_stays WHERE member_id = :p"), {"p": person}) == 1
    assert carried(committed) == []  # the callback does not say through which code
    committed.execute(text("UPDATE customer_groups SET expected_version = NULL"))
    committed.commit()
    with shifted(timedelta(minutes=1)):
        company.read(group["chat_id"])
    assert len(carried(committed)) == 1


def test_who_comes_without_the_code_gets_nothing(company, committed, code):
    person = company.sandbox.add(company.userids[0])[0]["external_userid"]
    add(company, person)
    chat_id = code["groups"][0]["chat_id"]
    company.sandbox.join_group(chat_id, [person])
    company.read(chat_id)
    assert carried(committed) == []


def test_joins_that_no_event_told_are_found_at_night(company, committed, code):
    (one,) = company.scan(code)
    committed.execute(
        text("INSERT INTO customers (external_userid) VALUES (:e)"), {"e": one["external_userid"]}
    )
    committed.execute(
        text("""INSERT INTO follows (customer_id, staff_id, added_at)
        SELECT c.id, s.id, now() FROM customers c, staff s WHERE c.external_userid = :e AND s.userid = :u"""),
        {"e": one["external_userid"], "u": company.userids[0]},
    )
    committed.commit()
    find_missed_joins()
    assert len(carried(committed)) == 1
    find_missed_joins()
    assert len(carried(committed)) == 1

"""Who came through a link: tags once per add, by the add's state, by WeCom's list and by ChatKeys alike."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from scrm.acquisition.models import Welcome, WelcomeMessage
from scrm.acquisition_links import jobs
from scrm.acquisition_links.models import LinkArrival, LinkEvent
from scrm.acquisition_links.service.arrivals import Listed, note_listed
from scrm.acquisition_links.service.recording import LinkCallback, LinkFact, record_link_events
from scrm.customers.events import FollowChanged, LostBy
from scrm.customers.models import Customer, Follow
from scrm.customers.service.recording import Deletion, record_deletions
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.staff.models import Staff
from tags.models import TagAssignment, TagSource
from tags.service import overrule
from tests.scrm.acquisition_links.conftest import URL
from wecom_callbacks.handlers.contacts import added
from wecom_callbacks.registry import Callback


def carried(session):
    """(follow id, tag id, source) of tags that are on relations."""
    session.expire_all()
    rows = session.execute(
        select(TagAssignment.follow_id, TagAssignment.tag_id, TagSource.source)
        .join(TagSource, TagSource.assignment_id == TagAssignment.id)
        .where(TagAssignment.state != "removed")
        .order_by(TagAssignment.follow_id, TagAssignment.tag_id)
    )
    return [tuple(row) for row in rows]


def arrivals(session):
    session.expire_all()
    return session.scalars(select(LinkArrival).order_by(LinkArrival.follow_id)).all()


def test_who_comes_through_a_channel_gets_the_tags_of_link_and_channel(company, committed, tag):
    usual, special = tag("a"), tag("b")
    link = company.link(tag_ids=[usual])
    channel = company.channel(link, tag_ids=[special])
    company.visit(channel["url"])
    (row,) = arrivals(committed)
    assert (row.acquisition_link_id, row.link_channel_id, row.state) == (
        link["id"],
        channel["id"],
        channel["state"],
    )
    source = f"link:{link['id']}"
    assert carried(committed) == [(row.follow_id, usual, source), (row.follow_id, special, source)]
    assert company.show(link["id"])["adds"] == 1


def test_without_a_channel_the_daily_list_says_it(company, committed, tag):
    usual = tag("a")
    link = company.link(tag_ids=[usual])
    company.visit(link["url"])
    assert arrivals(committed) == []
    jobs.read_customers()
    (row,) = arrivals(committed)
    assert (row.acquisition_link_id, row.link_channel_id, row.chat_status) == (link["id"], None, 0)
    assert [tag_id for _, tag_id, _ in carried(committed)] == [usual]
    with transaction():
        overrule([(row.follow_id, usual)], "manual:boss")
    listed_at = row.listed_at
    jobs.read_customers()
    assert carried(committed) == []  # what somebody took off stays off
    assert arrivals(committed)[0].listed_at == listed_at  # and what did not change is not written


def test_a_relation_that_wecom_names_twice_is_one_with_the_newest_words(company, committed):
    """Two ChatKeys of one customer, or a customer who came twice: one statement cannot write a row twice."""
    link = company.link()
    company.visit(link["url"])
    jobs.read_customers()
    (row,) = arrivals(committed)
    names = select(Staff.userid, Customer.external_userid).join(Follow, Follow.staff_id == Staff.id)
    userid, who = committed.execute(names.join(Customer, Customer.id == Follow.customer_id)).one()
    with transaction():
        told = [Listed(link["id"], userid, who, None, 0), Listed(link["id"], userid.upper(), who, "x", 1)]
        note_listed([*told, Listed(link["id"], userid, who)], utcnow())
    (row,) = arrivals(committed)
    assert (row.state, row.chat_status) == ("x", 1)


def test_a_listed_relation_that_we_do_not_know_is_asked_for_and_comes_with_the_next_list(company, committed):
    link = company.link()
    (told,) = company.sandbox.visit_link(url=link["url"])
    jobs.read_customers()
    assert arrivals(committed) == []
    wanted = committed.scalar(text("SELECT refresh_wanted_at FROM customers"))
    assert wanted is not None
    company.added(told, None)
    jobs.read_customers()
    assert len(arrivals(committed)) == 1


def test_a_channel_that_becomes_known_with_the_details_counts(company, committed, tag):
    link = company.link()
    channel = company.channel(link, tag_ids=[tag("a")])
    (told,) = company.sandbox.visit_link(url=channel["url"])
    follow_id = company.added(told, None)
    assert carried(committed) == []
    committed.execute(text("UPDATE follows SET state = :s"), {"s": channel["state"]})
    committed.commit()
    follow = committed.get(Follow, follow_id)
    for _ in range(2):
        with transaction():
            publish(FollowChanged(follow.id, follow.customer_id, follow.staff_id))
    assert len(carried(committed)) == 1


def test_a_second_add_after_a_loss_brings_the_tags_again(company, committed, tag):
    link = company.link()
    special = tag("a")
    channel = company.channel(link, tag_ids=[special])
    told = company.visit(channel["url"])
    (row,) = arrivals(committed)
    with transaction():
        overrule([(row.follow_id, special)], "manual:boss")
    company.added(told, channel["state"], row.at)
    assert carried(committed) == []  # the same add told again is none
    with transaction():
        at = utcnow() + timedelta(hours=2)
        record_deletions([Deletion(told["userid"], told["external_userid"], at, LostBy.CUSTOMER)])
    company.added(told, channel["state"], utcnow() + timedelta(hours=3))
    assert len(carried(committed)) == 1


def test_a_chat_key_tells_who_wrote_while_it_lives(company, committed, sandbox):
    link = company.link()
    told = company.visit(link["url"])
    wrote = sandbox.write_after_link(told["userid"], told["external_userid"], count=3)
    (key,) = wrote["chat_keys"]
    fact = LinkCallback(LinkFact.MESSAGE_FROM_CUSTOMER, utcnow(), "main", link["link_id"], chat_key=key)
    with transaction():
        record_link_events([fact])
    jobs.read_chats()
    event = committed.scalars(select(LinkEvent)).one()
    assert (event.received, event.chat_key, event.chat_error) == (3, None, None)
    (row,) = arrivals(committed)
    assert (row.follow_id, row.acquisition_link_id, row.chat_status) == (event.follow_id, link["id"], 1)
    (shown,) = company.api.get(f"{URL}/events").json["items"]
    assert (shown["received"], shown["acquisition_link_id"]) == (3, link["id"])
    assert "chat_key" not in shown


@pytest.mark.parametrize("minutes", [20, 31])
def test_a_key_is_asked_about_only_while_it_lives(company, committed, sandbox, minutes):
    link = company.link()
    told = company.visit(link["url"])
    (key,) = sandbox.write_after_link(told["userid"], told["external_userid"], count=3)["chat_keys"]
    api_name = "externalcontact/customer_acquisition/get_chat_info"
    with transaction():
        record_link_events(
            [LinkCallback(LinkFact.MESSAGE_FROM_CUSTOMER, utcnow(), link_id=link["link_id"], chat_key=key)]
        )
    sandbox.fault("errcode", api=api_name, errcode=-1, times=1)
    jobs.read_chats()
    assert committed.scalars(select(LinkEvent.chat_key)).one() == key  # a failure that passes is tried again
    jobs.read_chats()
    assert sum(sandbox.log_counts()[api_name].values()) == 1  # but not at once
    with shifted(timedelta(minutes=minutes)):
        jobs.read_chats()
    committed.expire_all()
    event = committed.scalars(select(LinkEvent)).one()
    assert event.chat_key is None
    assert (event.received, bool(event.chat_error)) == ((3, False) if minutes == 20 else (None, True))


def test_the_channel_chooses_the_welcome(company, committed):
    company.sandbox.set_callback("http://127.0.0.1:9/nowhere", verify=False)
    try:
        for name, default in (("usual", True), ("special", False)):
            committed.add(
                WelcomeMessage(name=name, text=name, attachments=[], staff_ids=[], is_default=default)
            )
        committed.commit()
        ids = {m.name: m.id for m in committed.scalars(select(WelcomeMessage))}
        link = company.link()
        special = company.channel(link, welcome_id=ids["special"])
        plain = company.channel(link)
        for url in (special["url"], plain["url"]):
            (told,) = company.sandbox.visit_link(url=url)
            fields = {
                "UserID": told["userid"], "ExternalUserID": told["external_userid"],
                "State": company._state(told), "WelcomeCode": told["welcome_codes"]["main"],
            }  # fmt: skip
            callback = Callback(
                1, "main", "change_external_contact", "add_external_contact", utcnow(), fields, False
            )
            with transaction():
                added([callback])
        chosen = committed.scalars(select(Welcome.welcome_id).order_by(Welcome.id)).all()
        assert chosen == [ids["special"], ids["usual"]]
    finally:
        company.sandbox.set_callback(None, verify=False)


def test_a_limited_key_sees_its_own_customers_only(company, api_with):
    link = company.link(staff_ids=company.staff)
    channel = company.channel(link)
    people = [company.visit(channel["url"]) for _ in range(6)]
    mine = company.staff[0]
    own = api_with("acquisition-links:read", staff_ids=[mine])
    rows = own.get(f"{URL}/{link['id']}/customers").json["items"]
    assert {row["staff_id"] for row in rows} <= {mine}
    assert len(rows) == sum(one["userid"] == company.userids[0] for one in people)
    everyone = company.api.get(f"{URL}/{link['id']}/customers?link_channel_id={channel['id']}").json["items"]
    assert len(everyone) == 6
    totals = own.get(f"{URL}/{link['id']}/statistics").json["total"]
    assert totals["added"] == len(rows)

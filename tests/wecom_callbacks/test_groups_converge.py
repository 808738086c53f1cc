"""Callbacks of one group in any order, doubled or with a gap: after WeCom is asked, the tables say what is so."""

import itertools
from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.groups import jobs as group_jobs
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.groups.service.details import LAG_ATTEMPTS
from scrm.kernel.clock import shifted, utcnow
from scrm.staff.models import Staff
from tests.wecom_callbacks.stories import body
from wecom_callbacks import jobs

JOIN, LEAVE = "change_external_chat.update.add_member", "change_external_chat.update.del_member"
LONG = timedelta(minutes=5)


@pytest.fixture
def group(committed, sandbox):
    """A group that two customers joined and one left, whose notice and owner changed; with the callbacks of all that."""
    members = sandbox.population(members=2, departments=1, customers=0)["members"]
    people = [person["external_userid"] for person in sandbox.add(members[0], count=3)]
    made = sandbox.create_group(members[0], people[:1], name="VIP")
    chat, versions = made["chat_id"], [made["member_version"]]
    versions.append(sandbox.join_group(chat, people[1:])["member_version"])
    versions.append(sandbox.leave_group(chat, [people[1]], removed=True)["member_version"])
    sandbox.rename_group(chat, "SVIP")
    sandbox.own_group(chat, members[1])
    now = int(utcnow().timestamp()) - 60
    told = [
        body("change_external_chat.create", now),
        _members(JOIN, now + 1, chat, people[1:], versions[0:2]),
        _members(LEAVE, now + 2, chat, [people[1]], versions[1:3]),
        body("change_external_chat.update.change_name", now + 3),
        body("change_external_chat.update.change_owner", now + 4),
    ]
    return {
        "told": [xml.replace("wrAAA", chat) for xml in told],
        "present": list(sandbox.state("group", chat)["members"]),
        "owner": members[1],
    }


def _members(name, created, chat, people, versions):
    xml = body(name, created)
    items = "".join(f"<Item>{person}</Item>" for person in people)
    xml = xml[: xml.index("<MemChangeList>")] + f"<MemChangeList>{items}</MemChangeList>"
    return f"{xml}<LastMemVer>{versions[0]}</LastMemVer><CurMemVer>{versions[1]}</CurMemVer></xml>"


def arrive(sender, told):
    for xml in told:
        assert sender.post(xml).status_code == 200
        jobs.drain_events()
    for turn in range(
        1, LAG_ATTEMPTS + 2
    ):  # WeCom may lag behind its event: asked again until that is implausible
        with shifted(LONG * turn):
            group_jobs.refresh_groups()


def assert_as_at_wecom(session, group):
    session.rollback()
    found = session.scalars(select(CustomerGroup)).one()
    assert (found.name, found.status, found.refresh_wanted_at) == ("SVIP", "normal", None)
    assert session.get(Staff, found.owner_staff_id).userid == group["owner"]
    stays = session.scalars(select(GroupStay.member_id).where(GroupStay.left_at.is_(None))).all()
    assert sorted(stays) == sorted(group["present"])


ORDERS = [*itertools.permutations((1, 2, 3)), (2,), (1,), (3, 1), (2, 1, 2, 1)]


@pytest.mark.parametrize("order", ORDERS)
def test_any_order_number_and_gap_of_joins_and_leaves(committed, sender, group, order):
    told = group["told"]
    arrive(sender, [told[0], *(told[n] for n in order), told[4]])
    assert_as_at_wecom(committed, group)
    arrive(sender, told)
    assert_as_at_wecom(committed, group)


def test_a_late_founding_and_a_doubled_stream_change_nothing(committed, sender, group):
    arrive(sender, [*group["told"][1:], group["told"][0]])
    assert_as_at_wecom(committed, group)


def test_a_dismissal_is_final_whatever_arrives_later(committed, sender, sandbox, group):
    told = group["told"]
    chat = told[0].partition("<ChatId><![CDATA[")[2].partition("]")[0]
    sandbox.dismiss_group(chat)
    ended = body("change_external_chat.dismiss", int(utcnow().timestamp())).replace("wrAAA", chat)
    arrive(sender, [told[0], ended, *told[1:]])
    committed.rollback()
    assert committed.scalars(select(CustomerGroup.status)).one() == "dismissed"
    assert committed.scalars(select(GroupStay).where(GroupStay.left_at.is_(None))).all() == []


def test_a_second_change_of_name_within_the_second_of_its_callback_is_not_missed(
    committed, sender, sandbox, group
):
    chat = group["told"][0].partition("<ChatId><![CDATA[")[2].partition("]")[0]
    second = int(utcnow().timestamp()) + 60

    def at(seconds):
        return shifted(timedelta(seconds=second + seconds - utcnow().timestamp()))

    def told(detail, created):
        sender.post(body(f"change_external_chat.update.{detail}", created).replace("wrAAA", chat))
        jobs.drain_events()

    with at(-0.99):
        told("change_notice", second - 1)
    with at(0.02):
        told("change_name", second)
        sandbox.rename_group(chat, "first")
        group_jobs.refresh_groups()
    sandbox.rename_group(chat, "second")  # its callback has the bytes of the first
    with at(1.5):
        group_jobs.refresh_groups()
    committed.rollback()
    assert committed.scalars(select(CustomerGroup.name)).one() == "second"

"""Tags against the sandbox WeCom: what it accepted is what we hold, each change exactly once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from scrm.customers.jobs import refresh_customers
from scrm.customers.models import Customer, Follow
from scrm.customers.service.recording import Add, record_adds
from scrm.customers.service.wanting import want_refresh
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import session, transaction
from scrm.wecom.models import Effect
from tags import jobs
from tags.catalog.service import editing
from tags.catalog.service.refreshing import EVERYTHING
from tags.catalog.service.refreshing import want_refresh as want_tags
from tags.models import AssignmentState as S
from tags.models import RefreshKind, Tag, TagAssignment, TagPull
from tags.rules.jobs import evaluate_rules
from tags.service import Wish, assign
from tests.scrm.wecom.conftest import Corp, carry_out, due_now, wecom_get
from tests.tags.test_rules import make_rule
from wecom_callbacks.registry import Callback, handler_for, load_handlers

MARK = "externalcontact/mark_tag"
LIST = "externalcontact/get_corp_tag_list"


@pytest.fixture
def corp(committed, sandbox):
    """A member with three customers, whom we know too."""
    sandbox.population(members=1, customers=0)
    userid = wecom_get("externalcontact/get_follow_user_list")["follow_user"][0]
    people = [sandbox.add(userid)[0]["external_userid"] for _ in range(3)]
    with transaction():
        record_adds([Add(userid, person, utcnow(), half=False, state=None) for person in people])
    refresh_customers.func()
    return Corp(sandbox, userid, people)


@pytest.fixture
def tags(corp):
    """Two tags made by us."""
    with transaction():
        editing.create_group("等级", 0, [{"name": "金", "position": 0}, {"name": "银", "position": 0}])
    carry_out("add_tag")
    fetch_everything()
    return list(rows(select(Tag).where(Tag.name.in_(["金", "银"])).order_by(Tag.name)))


def fetch_everything():
    with transaction():
        want_tags({EVERYTHING: RefreshKind.EVERYTHING})
    jobs.refresh_tags.func()


def rows(statement):
    with transaction():
        return session().scalars(statement.execution_options(populate_existing=True)).all()


def follow_of(person):
    return rows(select(Follow).join(Customer).where(Customer.external_userid == person))[0]


def want(person, *tags, source="rule:1", add=True):
    with transaction():
        assign([Wish(follow_of(person).id, tag.id, source, add) for tag in tags])


def push():
    jobs.push_assignments.func()
    carry_out("mark_tag")


def states(person):
    statement = select(TagAssignment).where(TagAssignment.follow_id == follow_of(person).id)
    return {row.tag_id: row.state for row in rows(statement)}


def callback(change, id_, **fields):
    load_handlers()
    made = Callback(
        1,
        "main",
        "change_external_tag",
        change,
        datetime.now(UTC),
        {"Id": id_, "TagType": "tag", **fields},
        False,
    )
    with transaction():
        handler_for("change_external_tag", change)([made])
    with shifted(timedelta(seconds=2)):  # not within the second of the callback
        jobs.refresh_tags.func()


def see(person):
    """Look at the customer in WeCom, well after our own last change."""
    with transaction():
        session().execute(update(TagAssignment).values(changed_at=utcnow() - timedelta(hours=1)))
        want_refresh([person])
    refresh_customers.func()


def test_a_group_made_here_is_made_at_wecom_and_known_by_its_ids(corp):
    with transaction():
        group = editing.create_group(
            "来源", 3, [{"name": "门店", "position": 1}, {"name": "官网", "position": 2}]
        )
    carry_out("add_tag")
    made = {tag.name: tag.wecom_id for tag in rows(select(Tag).where(Tag.group_id == group.id))}
    listed = next(g for g in jobs.wecom().post(LIST, {})["tag_group"] if g["group_name"] == "来源")
    assert made == {tag["name"]: tag["id"] for tag in listed["tag"]}
    assert listed["order"] == 3
    fetch_everything()
    last = rows(select(TagPull).order_by(TagPull.id.desc()))[0]
    assert (last.changed, last.gone) == (0, 0), "a fetch finds everything as it is"


def test_wecoms_refusal_stays_on_the_tag(corp):
    corp.control.set_limits(corp_tags=1)
    with transaction():
        group = editing.create_group("来源", 0, [{"name": "a", "position": 0}, {"name": "b", "position": 0}])
    carry_out("add_tag")
    assert {tag.failed.split(":")[0] for tag in rows(select(Tag).where(Tag.group_id == group.id))} == {
        "40126"
    }


def test_a_tag_deleted_here_is_deleted_at_wecom_and_on_customers(corp, tags):
    want(corp.people[0], *tags)
    push()
    with transaction():
        editing.delete_tag(tags[0].id)
    carry_out("delete_tag")
    jobs.drop_deleted_tags.func()
    assert corp.tags_of(corp.people[0]) == {tags[1].wecom_id}
    assert states(corp.people[0]) == {tags[0].id: S.REMOVED, tags[1].id: S.ACTIVE}


def test_each_change_reaches_wecom_exactly_once_whoever_works(corp, tags, app):
    for person in corp.people:
        want(person, *tags)

    def plan(_):
        with app.app_context():
            jobs.push_assignments.func()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(plan, range(4)))
    push()
    push()
    bodies = corp.accepted(MARK)
    assert sorted(body["external_userid"] for body in bodies) == sorted(corp.people)
    assert all(sorted(body["add_tag"]) == sorted(tag.wecom_id for tag in tags) for body in bodies)
    assert all(set(states(person).values()) == {S.ACTIVE} for person in corp.people)


def test_a_call_whose_answer_was_lost_is_not_made_again(corp, tags):
    corp.control.fault("truncate", api=MARK)
    want(corp.people[0], tags[0])
    push()
    made = rows(select(Effect).where(Effect.kind == "mark_tag"))[0]
    assert made.state == "unknown"
    due_now(made.id)
    with shifted(timedelta(seconds=2)):  # unknown ones are looked for once a second
        carry_out("mark_tag")
    assert states(corp.people[0]) == {tags[0].id: S.ACTIVE}
    assert len(corp.accepted(MARK)) == 1


def test_a_relation_that_is_gone_says_so(corp, tags):
    person = corp.people[0]
    corp.control.delete_contact(corp.userid, person)  # no callback reached us
    want(person, tags[0])
    push()
    assert states(person) == {tags[0].id: S.FAILED}
    error = rows(select(TagAssignment.error))[0]
    assert error.startswith("84061: ")


def test_one_unknown_tag_does_not_spoil_the_others(corp, tags):
    corp.control.delete_tag(tags[0].wecom_id)  # no callback reached us
    want(corp.people[0], *tags)
    push()
    carry_out("mark_tag")
    assert states(corp.people[0]) == {tags[0].id: S.FAILED, tags[1].id: S.ACTIVE}
    assert corp.tags_of(corp.people[0]) == {tags[1].wecom_id}


def test_what_members_do_in_wecom_arrives_and_rules_hear_it(corp, tags):
    person, (gold, silver) = corp.people[0], tags
    result = make_rule({"kind": "has_tag", "tag_ids": [gold.id]}, silver)
    corp.control.edit(corp.userid, person, add_tags=[gold.wecom_id])
    see(person)
    assert states(person) == {gold.id: S.ACTIVE}
    evaluate_rules.func()
    assert states(person) == {gold.id: S.ACTIVE, silver.id: S.PENDING_ADD}
    push()
    assert corp.tags_of(person) == {gold.wecom_id, silver.wecom_id}
    corp.control.edit(corp.userid, person, remove_tags=[gold.wecom_id])
    see(person)
    evaluate_rules.func()
    push()
    assert corp.tags_of(person) == set()
    assert states(person) == {gold.id: S.REMOVED, silver.id: S.REMOVED}
    assert result.id


def test_looking_again_changes_nothing_and_calls_nobody(corp, tags):
    want(corp.people[0], *tags)
    push()
    before = len(corp.accepted(MARK))
    for _ in range(2):
        see(corp.people[0])
        push()
    assert len(corp.accepted(MARK)) == before == 1


def test_the_whole_list_is_fetched_when_it_never_was(corp):
    assert jobs.refresh_tags.due()
    jobs.refresh_tags.func()
    assert corp.accepted(LIST) == [{}]
    assert not jobs.refresh_tags.due()
    assert rows(select(TagPull))[0].whole


def test_a_new_tag_is_fetched_by_its_id_when_a_callback_says_so(corp, tags):
    made = corp.control.create_tags("等级", ["铜"])["tags"]["铜"]
    callback("create", made)
    assert rows(select(Tag.name).where(Tag.wecom_id == made)) == ["铜"]
    assert corp.accepted(LIST)[-1] == {"tag_id": [made]}


def test_a_renamed_tag_and_a_shuffled_group(corp, tags):
    corp.control.edit_tag(tags[0].wecom_id, name="白金")
    callback("update", tags[0].wecom_id)
    group = rows(select(Tag).where(Tag.id == tags[0].id))[0]
    assert group.name == "白金"
    groups = [g["group_id"] for g in jobs.wecom().post(LIST, {})["tag_group"] if g["group_name"] == "等级"]
    corp.control.shuffle_tags(groups[0])
    callback("shuffle", groups[0])
    assert corp.accepted(LIST)[-1] == {"group_id": groups}
    listed = jobs.wecom().post(LIST, {"group_id": groups})["tag_group"][0]["tag"]
    ours = {tag.wecom_id: tag.position for tag in rows(select(Tag))}
    assert all(ours[tag["id"]] == tag["order"] for tag in listed)


def test_a_deleted_tag_is_gone_here_and_others_stay(corp, tags):
    corp.control.delete_tag(tags[0].wecom_id)
    callback("delete", tags[0].wecom_id)
    living = rows(select(Tag.wecom_id).where(Tag.deleted_at.is_(None)))
    assert tags[0].wecom_id not in living
    assert tags[1].wecom_id in living


def test_a_failing_list_deletes_nothing_and_is_reported(corp, tags):
    corp.control.fault("errcode", api=LIST, errcode=48002, times=None)
    fetch_everything()
    assert len(rows(select(Tag).where(Tag.deleted_at.is_(None), Tag.name.in_(["金", "银"])))) == 2
    pull = rows(select(TagPull).order_by(TagPull.id.desc()))[0]
    assert pull.state == "failed"
    assert "48002" in pull.error
    assert not jobs.refresh_tags.due(), "not at once again"

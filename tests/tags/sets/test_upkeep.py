"""What may go wrong around sets: orders of commits, rollbacks, an emptied or missing Redis, old sets, spoiled sets."""

from datetime import timedelta

import pytest
from pyroaring import BitMap64
from sqlalchemy import select, text, update

from scrm.audiences.models import Audience, AudienceMember
from scrm.customers.models import Customer, Follow
from scrm.kernel import metrics
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import db, session
from scrm.kernel.permissions import Scope
from tags.models import TagAssignment
from tags.rules.compiler import versioned
from tags.sets import jobs
from tags.sets.models import SetChange
from tags.sets.queries import changes
from tags.sets.service import current, domains, store, upkeep
from tags.sets.service.asking import STAFF, TAGS
from tags.sets.service.counting import count_tree, members_of_tree, tag_sets
from tags.sets.service.memory import Memory, memory
from tags.sets.service.watching import EVERYBODY
from tests.settling import settle
from tests.tags.conftest import make_world
from tests.tags.sets.holding import hold

ALL = Scope.all()


@pytest.fixture
def held(committed):
    """Two customers of one member; the first has the tag."""
    world = make_world()
    member, tag = world.staff(), world.tag()
    follows = [world.followed(member, gender=1), world.followed(member, gender=2)]
    hold(follows[0], tag)
    committed.commit()
    return tag, follows


def tree(tag):
    return {"kind": "has_tag", "tag_ids": [tag.id]}


def count(tag, **how):
    found = count_tree(tree(tag), ALL, **how).count
    session().rollback()
    return found


def written(statement):
    """Write on a connection of somebody else's, committed."""
    with db.engine.begin() as other:
        other.execute(statement)


def give(tag, follow):
    row = {"customer_id": follow.customer_id, "follow_id": follow.id, "tag_id": tag.id, "state": "active"}
    return TagAssignment.__table__.insert().values(**row, changed_at=utcnow())


def test_what_began_before_a_look_and_was_committed_after_it_is_found(held):
    tag, follows = held
    slow = db.engine.connect()
    begun = slow.begin()
    slow.execute(give(tag, follows[1]))
    assert count(tag) == 1, "not committed yet"
    written(
        update(Customer).values(gender=2)
    )  # a younger transaction, so that the older one lies within snapshots
    assert count(tag) == 1
    begun.commit()
    slow.close()
    assert count(tag) == 2


def test_what_a_transaction_wrote_is_told_to_itself_and_kept_from_others(held):
    tag, follows = held
    assert count(tag) == 1
    hold(follows[1], tag)
    assert count_tree(tree(tag), ALL).count == 2, "its own"
    assert set(tag_sets(ALL)[tag.id]) == {follow.customer_id for follow in follows}
    session().rollback()
    assert count(tag) == 1
    memory().clear()
    assert count(tag) == 1, "nothing of it reached Redis"


def test_an_answer_is_of_this_moment_or_says_how_old_it_is(held, monkeypatch, settings):
    tag, follows = held
    monkeypatch.setattr(current, "SOON", 0)  # as if too many customers had changed to ask them again at once
    bound = settings.sets.staleness_seconds
    first = count_tree(tree(tag), ALL)
    session().rollback()
    written(give(tag, follows[1]))
    with shifted(timedelta(seconds=bound - 5)):
        later = count_tree(tree(tag), ALL)
        session().rollback()
        assert (later.count, later.as_of, later.exact) == (1, first.as_of, False)
        assert count_tree(tree(tag), ALL, fresh=True).count == 2
        session().rollback()
    memory().clear()
    with shifted(timedelta(seconds=bound + 1)):
        found = count_tree(tree(tag), ALL)
        assert (found.count, found.exact) == (2, True)
        assert utcnow() - found.as_of < timedelta(seconds=bound)


def test_more_changes_than_are_read_at_once_make_no_set_older_than_the_bound(held, monkeypatch, settings):
    tag, follows = held
    monkeypatch.setattr(current, "CHANGES", 1)
    assert count(tag) == 1
    written(give(tag, follows[1]))
    for gender in (0, 1, 2):
        written(update(Customer).values(gender=gender))
    assert count(tag) == 1, "fresh enough, so nobody reads that much"
    with shifted(timedelta(seconds=settings.sets.staleness_seconds + 1)):
        assert count(tag) == 2


def test_a_bulk_load_is_not_read_customer_by_customer(held, monkeypatch, settings):
    tag, follows = held
    monkeypatch.setattr(changes, "MOST_IDS", 1)
    assert count(tag) == 1
    written(update(Customer).values(gender=0))
    written(give(tag, follows[1]))
    with shifted(timedelta(seconds=settings.sets.staleness_seconds + 1)):
        assert [each.ids for each in changes.look([changes.Snapshot(0, 0, frozenset())]).changes][-1] is None
        assert count(tag) == 2


def test_leaves_whose_changes_nobody_notes_are_asked_anew_when_they_are_too_old(committed, held, settings):
    _, follows = held
    said = {"kind": "said_keyword", "keywords": ["price"]}
    assert count_tree(said, ALL).count == 0
    committed.rollback()
    message = "INSERT INTO messages (sent_at, channel, message_key, kind, direction, text, content, customer_id) VALUES (now(), 'kf', 'm', 'text', 'in', 'price', '{}', :id)"
    written(text(message).bindparams(id=follows[0].customer_id))
    told = count_tree(said, ALL)
    committed.rollback()
    assert (told.count, told.exact) == (0, False)
    with shifted(timedelta(seconds=settings.sets.staleness_seconds + 1)):
        assert count_tree(said, ALL).count == 1


def test_redis_may_be_emptied_or_away(held, redis, app, monkeypatch):
    tag, follows = held
    assert count(tag) == 1
    redis.flushdb()
    written(give(tag, follows[1]))
    assert count(tag) == 2, "memory and what was noted are enough"
    memory().clear()
    assert count(tag) == 2, "asked again"
    monkeypatch.setitem(app.extensions, "scrm_sets_store", store.SharedStore("redis://127.0.0.1:1"))
    memory().clear()
    assert count(tag) == 2
    assert store.shelved() == []


def test_a_set_in_redis_that_cannot_be_read_is_asked_again(held, redis):
    tag, _ = held
    assert count(tag) == 1
    place = f"scrm:sets:set:{store.digest_of(TAGS.key(tag.id))}"
    redis.hset(place, "bits", b"\x00spoiled")
    memory().clear()
    assert count(tag) == 1
    assert BitMap64.deserialize(redis.hget(place, "bits")), "and mended"


def test_sets_used_lately_are_kept_near_the_present(held, redis, monkeypatch):
    tag, follows = held
    assert count(tag) == 1
    written(give(tag, follows[1]))
    before = {each.key: each.as_of for each in store.shelved()}
    assert set(before) == {TAGS.key(tag.id), EVERYBODY}
    jobs.keep_sets()
    after = store.load(before)
    assert len(after[TAGS.key(tag.id)].bits) == 2
    assert all(after[key].as_of > before[key] for key in before), "untouched ones move on too"
    used = shifted(timedelta(minutes=121))
    with used:
        assert upkeep.used_lately() == [], "nobody wanted them for two hours"


def test_the_sets_most_questions_need_are_warmed(held, monkeypatch):
    tag, follows = held
    jobs.warm_sets()
    shelved = {each.key for each in store.shelved()}
    assert {
        TAGS.key(tag.id),
        STAFF.key(follows[0].staff_id),
        EVERYBODY,
        gender_key(1),
        gender_key(2),
    } <= shelved
    assert upkeep.base_keys() == [], "nothing is asked again for fields that nobody has a value of"
    monkeypatch.setattr(current, "asked_within", None)
    years = {"op": "between", "values": [f"{utcnow().year - 40}-01-01", f"{utcnow().year}-12-31"]}
    born = {"kind": "field", "field": "person.birthday", **years}
    assert count_tree({"all": [tree(tag), gender(1), {"not": born}]}, ALL).count == 1


def test_warm_sets_stay_near_the_present_although_nobody_uses_them(held, settings):
    tag, follows = held
    jobs.warm_sets()
    written(give(tag, follows[1]))
    with shifted(timedelta(minutes=settings.sets.kept_minutes / 2 + 1)):
        assert {TAGS.key(tag.id), gender_key(1)} <= set(upkeep.base_keys())
        jobs.warm_sets()
        assert upkeep.base_keys() == []
        assert len(store.load([TAGS.key(tag.id)])[TAGS.key(tag.id)].bits) == 2


def test_sets_are_not_warmed_into_more_than_half_of_the_room(held, monkeypatch):
    monkeypatch.setattr(upkeep, "WARM_SHARE", 0.0)
    jobs.warm_sets()
    assert store.shelved() == []


def test_changes_are_forgotten_and_sets_that_are_older_are_asked_anew(held, committed):
    tag, follows = held
    assert count(tag) == 1
    written(give(tag, follows[1]))
    written(update(Follow).values(remark="x"))
    written(update(TagAssignment).values(state="removed"))
    for hours in (0, 3, 6):
        settle()
        with shifted(timedelta(hours=hours)):
            jobs.forget_set_changes()
            jobs.forget_set_changes()  # too early for another
    committed.rollback()
    assert committed.scalars(select(SetChange.xid)).all() == []
    committed.rollback()
    with shifted(timedelta(hours=6)):
        assert count(tag) == 0
    with shifted(timedelta(hours=13)):
        jobs.forget_set_changes()
        assert store.shelved() == [], "nothing of what people asked for stays for long"


def test_a_set_of_a_later_database_is_not_believed(held, redis):
    tag, _ = held
    assert count(tag) == 1
    place = f"scrm:sets:set:{store.digest_of(TAGS.key(tag.id))}"
    redis.hset(place, mapping={"snapshot": f"{2**40}:{2**40}:", "bits": BitMap64([77]).serialize()})
    memory().clear()
    assert count(tag, fresh=True) == 1


def test_a_spoiled_set_is_found_counted_and_mended(held, redis, monkeypatch):
    tag, follows = held
    assert count(tag) == 1
    key = TAGS.key(tag.id)
    redis.hset(
        f"scrm:sets:set:{store.digest_of(key)}", "bits", BitMap64([follows[1].customer_id]).serialize()
    )
    before = metrics.SETS_DRIFT._value.get()
    jobs.check_sets()
    assert metrics.SETS_DRIFT._value.get() - before == 2, "one too many, one missing"
    assert set(store.load([key])[key].bits) == {follows[0].customer_id}
    jobs.check_sets()
    assert metrics.SETS_DRIFT._value.get() - before == 2


def test_a_patch_that_dies_leaves_the_set_as_it_was_and_the_next_one_is_right(held, monkeypatch):
    tag, follows = held
    assert count(tag) == 1
    written(give(tag, follows[1]))

    def die(place):
        raise KeyboardInterrupt(place)

    monkeypatch.setattr(upkeep, "reached", die)
    with pytest.raises(KeyboardInterrupt):
        jobs.keep_sets()
    assert len(store.load([TAGS.key(tag.id)])[TAGS.key(tag.id)].bits) == 1
    memory().clear()
    assert count(tag) == 2


def test_an_older_patch_never_replaces_a_newer_one(held):
    tag, follows = held
    key = TAGS.key(tag.id)
    assert count(tag) == 1
    old = store.load([key])
    written(give(tag, follows[1]))
    assert count(tag) == 2
    store.save(old)
    memory().put(old)
    assert len(store.load([key])[key].bits) == 2
    assert len(memory().get([key])[key].bits) == 2


def test_memory_and_redis_let_go_what_is_used_least(held, monkeypatch, settings):
    tag, _ = held
    assert count(tag) == 1
    each = memory().get([EVERYBODY])[EVERYBODY]
    small = Memory(int(each.size * 2.5))
    for name in "abc":
        small.put({name: each})
        small.get(["a"])
    assert set(small.get("abc")) == {"a", "c"}
    narrow = settings.model_copy(update={"sets": settings.sets.model_copy(update={"redis_megabytes": 0})})
    monkeypatch.setattr(store, "settings", lambda: narrow)
    store.save({EVERYBODY: each})
    assert store.shelved() == []


def test_an_audience_is_what_it_is_now(held, committed):
    _, follows = held
    rows = {"name": "a", "made_by": "t"}
    first = Audience(kind="tree", condition=versioned(gender(1)), **rows)
    second = Audience(kind="static", **{**rows, "name": "b"})
    committed.add_all([first, second])
    committed.commit()
    both = {"kind": "in_audience", "audience_ids": [first.id, second.id]}

    def counts():
        found = [count_tree({**both, "match": match}, ALL).count for match in ("any", "all", "none")]
        committed.rollback()
        return found

    assert counts() == [1, 0, 1]
    second_member = {"audience_id": second.id, "customer_id": follows[1].customer_id, "source": "t"}
    written(AudienceMember.__table__.insert().values(**second_member, added_at=utcnow()))
    assert counts() == [2, 0, 0]
    written(update(Audience).where(Audience.id == first.id).values(condition=versioned(gender(2))))
    assert counts() == [1, 1, 1]
    written(update(Audience).where(Audience.id == second.id).values(deleted_at=utcnow()))
    assert counts() == [1, 0, 1], "nobody belongs to what is gone"


def gender(value):
    return {"kind": "field", "field": "customer.gender", "op": "equals", "value": value}


def gender_key(value):
    return domains.Domain("customer.gender").key(value)


def test_who_asks_for_one_value_of_few_gets_all(held, monkeypatch):
    assert count_tree(gender(1), ALL).count == 1
    monkeypatch.setattr(current, "asked_within", None)
    assert count_tree(gender(2), ALL).count == 1
    assert count_tree({"any": [gender(1), gender(2)]}, ALL).count == 2


def test_of_a_field_of_many_values_only_one_is_asked(held, monkeypatch):
    monkeypatch.setattr(domains, "MOST_VALUES", 1)
    assert count_tree(gender(1), ALL).count == 1
    assert len(store.shelved()) == 2, "and everybody"


def test_a_key_sees_the_customers_of_its_members_only(held, api_with):
    tag, follows = held
    client = api_with("rules:read", staff_ids=[follows[0].staff_id])
    body = {"condition": {"not": tree(tag)}}
    told = client.post("/api/v1/conditions/count", json=body).json
    assert (told["count"], told["base"], told["exact"]) == (1, 2, True)
    stranger = api_with("rules:read", staff_ids=[])
    assert stranger.post("/api/v1/conditions/count", json=body).json["count"] == 0
    wrong = client.post("/api/v1/conditions/count", json={"condition": {"kind": "has_tag", "tag_ids": [0]}})
    assert wrong.status_code == 422
    assert members_of_tree(tree(tag), Scope.of_staff(follows[0].staff_id)).ids == BitMap64(
        [follows[0].customer_id]
    )

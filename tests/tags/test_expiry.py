"""Tags that go so many days after a rule set them."""

from types import SimpleNamespace

from sqlalchemy import select, text

from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from tags.models import AssignmentState as S
from tags.models import TagHistory
from tags.rules import jobs
from tags.rules.costs import plan_of
from tags.rules.service import expiring
from tags.service import Wish, assign
from tests.tags.cases import timedelta
from tests.tags.test_api import send
from tests.tags.test_rules import VIP, backfill, evaluate, make_rule, rename


def expire():
    assert jobs.expire_rule_tags.due()
    jobs.expire_rule_tags.func()
    assert not jobs.expire_rule_tags.due()


def test_a_tag_goes_when_its_days_are_over_and_history_says_why(api, world, session):
    follow, tag = world.followed(name="vip"), world.tag()
    backfill(make_rule(VIP, tag, expire_after_days=30))
    with shifted(timedelta(days=29)):
        expire()
        assert world.states(follow) == {tag.id: S.PENDING_ADD}
    with shifted(timedelta(days=30, hours=2)):
        expire()
        assert world.states(follow) == {tag.id: S.REMOVED}
        line = session.scalars(select(TagHistory).order_by(TagHistory.id.desc())).first()
        assert (line.change, line.by) == ("expired", "30 days after")
        shown = send(api, "get", f"/customers/{follow.customer_id}/tags")["tags"][0]
        assert (shown["expired"], shown["overruled"]) == (True, False)


SPENT = """
INSERT INTO staff (userid) VALUES ('many');
INSERT INTO customers (external_userid) SELECT 'many' || n FROM generate_series(1, 3000) n;
INSERT INTO follows (customer_id, staff_id, added_at)
  SELECT c.id, s.id, now() FROM customers c, staff s WHERE s.userid = 'many' AND c.external_userid LIKE 'many%';
INSERT INTO tag_assignments (customer_id, follow_id, tag_id, state, changed_at)
  SELECT f.customer_id, f.id, (SELECT min(id) FROM tags), 'removed', now()
  FROM follows f JOIN staff s ON s.id = f.staff_id WHERE s.userid = 'many';
INSERT INTO tag_sources (assignment_id, source, since, spent_at)
  SELECT id, 'rule:7', now() - interval '9 days', CASE WHEN id % 1000 > 0 THEN now() END FROM tag_assignments;
ANALYZE tag_sources
"""


def test_tags_whose_days_are_over_are_found_without_a_look_at_those_that_went_before(world, session):
    world.tag()
    for statement in SPENT.split(";\n"):
        session.execute(text(statement))
    rule = SimpleNamespace(id=7, expire_after_days=1)
    assert "ix_tag_sources_rule_since" in str(plan_of(expiring._over(rule, utcnow(), 2000)))


def test_the_rule_sets_it_again_only_after_its_condition_held_anew(world):
    follow, tag = world.followed(name="vip"), world.tag()
    rule = make_rule(VIP, tag, expire_after_days=1)
    backfill(rule)
    with shifted(timedelta(days=2)):
        expire()
        backfill(rule)
        assert world.states(follow) == {tag.id: S.REMOVED}
        rename(follow.customer_id, "x")
        evaluate()
        assert world.sources(follow, tag) == []
        rename(follow.customer_id, "vip")
        evaluate()
        assert world.states(follow) == {tag.id: S.PENDING_ADD}


def test_a_rule_that_keeps_its_tags_forgets_the_spent_ones_too(world):
    follow, tag = world.followed(name="vip"), world.tag()
    backfill(make_rule(VIP, tag, expire_after_days=1, keep=True))
    with shifted(timedelta(days=2)):
        expire()
        for name in ("x", "vip"):
            rename(follow.customer_id, name)
            evaluate()
        assert world.states(follow) == {tag.id: S.PENDING_ADD}


def test_what_somebody_else_wants_stays(world):
    follow, tag = world.followed(name="vip"), world.tag()
    backfill(make_rule(VIP, tag, expire_after_days=1))
    with transaction():
        assign([Wish(follow.id, tag.id, "manual:a", add=True)])
    with shifted(timedelta(days=2)):
        expire()
        assert world.states(follow) == {tag.id: S.PENDING_ADD}
        with transaction():
            assign([Wish(follow.id, tag.id, "manual:a", add=False)])
        assert world.states(follow) == {tag.id: S.REMOVED}, "the spent source does not hold it"


def test_a_rival_comes_back_when_the_days_are_over(world):
    world.group.exclusive = True
    follow, gold, silver = world.followed(name="vip"), world.tag(), world.tag()
    backfill(make_rule(VIP, gold, expire_after_days=1, priority=1))
    backfill(make_rule(VIP, silver))
    assert world.states(follow) == {gold.id: S.PENDING_ADD, silver.id: S.REMOVED}
    with shifted(timedelta(days=2)):
        expire()
    assert world.states(follow) == {gold.id: S.REMOVED, silver.id: S.PENDING_ADD}

"""Taking over WeCom's tag list."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from tags.catalog.service.editing import add_tags, create_group
from tags.catalog.service.refreshing import Listing, take_over, want_refresh
from tags.jobs import drop_deleted_tags
from tags.models import AssignmentState as S
from tags.models import RefreshKind, Tag, TagGroup, TagRefresh
from tests.tags.test_service import push, settle, want


def shown(group_id, name, tags, **more):
    """A tag_group as WeCom shows it; ``tags``: id → name or fields."""
    made = [{"id": id_, "order": 0, **(t if isinstance(t, dict) else {"name": t})} for id_, t in tags.items()]
    return {"group_id": group_id, "group_name": name, "order": 0, "tag": made, **more}


def take(*groups, whole=True, started_at=None, announced=(), parts=()):
    with transaction():
        return take_over(Listing(started_at or utcnow(), groups, parts, whole, frozenset(announced)))


def names(session):
    """group name → {wecom id: tag name} of what lives."""
    session.expire_all()
    rows = session.execute(
        select(TagGroup.name, Tag.wecom_id, Tag.name.label("tag"))
        .join(Tag, Tag.group_id == TagGroup.id)
        .where(Tag.deleted_at.is_(None), TagGroup.deleted_at.is_(None))
    )
    found = {}
    for group, wecom_id, tag in rows:
        found.setdefault(group, {})[wecom_id] = tag
    return found


LEVEL = shown("etA", "等级", {"et1": "金", "et2": "银"})


def test_what_is_new_changed_and_gone_is_reported(session):
    pull = take(LEVEL, shown("etB", "来源", {"et3": "网"}))
    assert (pull.state, pull.seen, pull.added, pull.changed, pull.gone) == ("done", 3, 5, 0, 0)
    pull = take(shown("etA", "级别", {"et1": "黄金"}), shown("etB", "来源", {"et3": "网", "et4": "店"}))
    assert (pull.seen, pull.added, pull.changed, pull.gone) == (3, 1, 2, 1)
    assert names(session) == {"级别": {"et1": "黄金"}, "来源": {"et3": "网", "et4": "店"}}


def test_the_same_list_again_changes_nothing(session):
    take(LEVEL)
    pull = take(LEVEL)
    assert (pull.added, pull.changed, pull.gone) == (0, 0, 0)


def test_names_may_swap(session):
    take(LEVEL, shown("etB", "来源", {"et3": "网"}))
    take(shown("etA", "来源", {"et1": "银", "et2": "金"}), shown("etB", "等级", {"et3": "网"}))
    assert names(session) == {"来源": {"et1": "银", "et2": "金"}, "等级": {"et3": "网"}}


def test_a_new_tag_may_take_the_old_name_of_a_renamed_one(session):
    take(LEVEL)
    pull = take(shown("etA", "等级", {"et9": "金", "et1": "白金", "et2": "银"}))
    assert (pull.added, pull.changed) == (1, 1)
    assert names(session) == {"等级": {"et1": "白金", "et2": "银", "et9": "金"}}


def test_a_group_made_anew_under_the_name_of_a_dead_one(session):
    take(LEVEL)
    take(shown("etZ", "等级", {"et9": "金"}))
    assert names(session) == {"等级": {"et9": "金"}}


def test_a_tag_that_comes_back_lives_again(session):
    take(LEVEL)
    take(shown("etA", "等级", {"et1": "金"}))
    take(LEVEL)
    assert names(session) == {"等级": {"et1": "金", "et2": "银"}}


def test_a_group_shown_alone_says_nothing_about_others(session):
    take(LEVEL, shown("etB", "来源", {"et3": "网"}))
    take(shown("etA", "等级", {"et1": "金"}), whole=False)
    assert names(session) == {"等级": {"et1": "金"}, "来源": {"et3": "网"}}


def test_a_tag_shown_alone_says_nothing_about_its_group(session):
    take(LEVEL)
    take(whole=False, parts=[shown("etA", "等级", {"et1": "黄金"})])
    assert names(session) == {"等级": {"et1": "黄金", "et2": "银"}}
    take(whole=False, parts=[shown("etA", "等级", {"et1": {"name": "黄金", "deleted": True}})])
    assert names(session) == {"等级": {"et2": "银"}}


def test_our_own_pending_tag_is_met_by_its_name(world, session):
    with transaction():
        group = create_group("等级", 0, [{"name": "金", "position": 0}])
    take(LEVEL)
    assert names(session)["等级"] == {"et1": "金", "et2": "银"}
    assert session.get(TagGroup, group.id).wecom_id == "etA"


def test_our_own_pending_tag_gives_way_when_another_takes_its_name_first(session):
    take(LEVEL)
    with transaction():
        group = session.scalars(select(TagGroup).where(TagGroup.wecom_id == "etA")).one()
        add_tags(group.id, [{"name": "钻石", "position": 0}])
    take(shown("etA", "等级", {"et1": "钻石", "et2": "银"}))
    assert names(session) == {"等级": {"et1": "钻石", "et2": "银"}}


def test_a_list_older_than_what_wecom_accepted_since_says_nothing(session):
    take(LEVEL)
    before = utcnow() - timedelta(seconds=1)
    tag = session.scalars(select(Tag).where(Tag.wecom_id == "et1")).one()
    tag.name, tag.confirmed_at = "新名", utcnow()
    take(LEVEL, started_at=before)
    take(shown("etA", "等级", {"et2": "银"}), started_at=before)
    assert names(session) == {"等级": {"et1": "新名", "et2": "银"}}
    take(shown("etA", "等级", {"et2": "银"}))
    assert names(session) == {"等级": {"et2": "银"}}


def many(count, start=0):
    return shown("etA", "等级", {f"et{i}": f"n{i}" for i in range(start, start + count)})


@pytest.mark.parametrize(("announced", "state"), [((), "stopped"), (("etA",), "done")])
def test_a_great_loss_is_believed_only_when_it_was_announced(session, announced, state):
    take(many(30))
    pull = take(shown("etB", "x", {"et99": "y"}), announced=announced)
    assert pull.state == state
    assert ("等级" in names(session)) is (state == "stopped")


def test_a_great_loss_is_believed_when_it_is_still_so_later(session):
    take(many(30))
    assert take().state == "stopped"
    assert take().state == "stopped", "not at once"
    with shifted(timedelta(minutes=11)):
        assert take().state == "done"
    assert names(session) == {}


def test_a_wish_that_came_during_the_fetch_stays(session):
    started = utcnow()
    with transaction():
        want_refresh({"et1": RefreshKind.TAG})
    take(LEVEL, started_at=started)
    assert session.scalars(select(TagRefresh.wecom_id)).all() == ["et1"]
    take(LEVEL)
    assert session.scalars(select(TagRefresh.wecom_id)).all() == []


def test_customers_lose_a_tag_that_is_gone(world, session):
    take(LEVEL)
    tag = session.scalars(select(Tag).where(Tag.wecom_id == "et1")).one()
    follow = world.followed()
    want(follow, tag, "rule:1")
    push()
    settle(world.effects()[0])
    take(shown("etA", "等级", {"et2": "银"}), shown(world.group.wecom_id, world.group.name, {"etx": "x"}))
    drop_deleted_tags.func()
    assert world.states(follow) == {tag.id: S.REMOVED}
    assert world.sources(follow, tag) == []

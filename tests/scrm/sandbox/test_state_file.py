"""A state file of an earlier release is still read, whatever its objects did not know yet."""

from __future__ import annotations

from scrm.sandbox.clock import Clock
from scrm.sandbox.model.groups import Group
from scrm.sandbox.model.people import Member


def as_stored(cls, **fields):
    item = cls.__new__(cls)
    item.__setstate__((None, fields))
    return item


def test_fields_that_did_not_exist_get_their_defaults():
    member = as_stored(Member, userid="a", name="A", departments=(2,), contact_feature=False)
    assert (member.main(), member.contact_feature, member.verified, member.left_at) == (2, False, True, 0)
    assert member.customers() == []
    group = as_stored(Group, chat_id="wr", name="g", owner="a", create_time=1, version="v")
    other = as_stored(Group, chat_id="wr2", name="g", owner="a", create_time=1, version="v")
    assert (group.capacity, group.stale, group.as_seen(5)) == (None, [], group)
    assert group.members is not other.members


def test_a_clock_without_a_skew_has_none():
    clock = Clock.__new__(Clock)
    clock.__setstate__({"_offset": 60.0})
    assert (clock.skew, abs(clock.told() - clock.now()) < 2) == (0.0, True)

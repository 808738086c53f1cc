"""Overlap of audiences, and the tags their members have more often than everybody."""

import math

import pytest

from scrm.audiences.queries.lookalike import excess, false_discovery, likelihood_ratio
from tests.scrm.audiences.conftest import call, named
from tests.tags.cases import give


def overlap(api, *ids, status=200):
    return call(api, "post", "/audiences/overlap", {"audience_ids": list(ids)}, status)


def test_audiences_are_compared_pair_by_pair(api, world, listing):
    a, b, c, d = (world.customer() for _ in range(4))
    one, two, none = listing("一", a, b, c), listing("二", c, d), listing("空")
    told = overlap(api, one, two, none)
    assert [(each["name"], each["count"], each["alone"]) for each in told["audiences"]] == [
        ("一", 3, 2), ("二", 2, 1), ("空", 0, 0),
    ]  # fmt: skip
    first = told["pairs"][0]
    assert (first["first"], first["second"], first["both"]) == (one, two, 1)
    assert (first["jaccard"], first["of_first"], first["of_second"]) == (0.25, pytest.approx(1 / 3), 0.5)
    assert [each["jaccard"] for each in told["pairs"][1:]] == [0, 0]
    assert (told["in_all"], told["in_any"]) == (0, 4)


def test_overlap_counts_only_what_the_key_may_see(api_with, world, listing):
    ours, theirs = world.staff(), world.staff()
    both = [world.customer(), world.customer()]
    for customer, staff in zip(both, (ours, theirs), strict=True):
        world.follow(customer, staff)
    ids = [listing(name, *both) for name in ("一", "二")]
    limited = api_with("*", staff_ids=[ours.id])
    assert overlap(limited, *ids)["pairs"][0]["both"] == 1


def test_overlap_takes_two_to_ten_different_audiences_that_exist(api, listing):
    ids = [listing(str(i)) for i in range(11)]
    overlap(api, ids[0], status=422)
    overlap(api, *ids, status=422)
    overlap(api, ids[0], ids[0], status=422)
    overlap(api, ids[0], 10**12, status=404)
    overlap(api, *ids[:10])


@pytest.fixture
def tagged(world):
    """40 customers, 20 of them called vip: all vip have `loyal`, 2 others too; every second customer has `even`."""
    loyal, even, rare = world.tag("loyal"), world.tag("even"), world.tag("rare")
    staff = world.staff()
    for i in range(40):
        follow = world.followed(staff, name="vip" if i < 20 else "x")
        if i < 22:
            give(world, follow, loyal)
        if i % 2:
            give(world, follow, even)
        if i == 0:
            give(world, follow, rare)
    return loyal, even, rare


def test_tags_that_members_have_more_often_come_with_lift_and_significance(api, tagged, tree):
    loyal, _even, rare = tagged
    told = call(api, "get", f"/audiences/{tree('VIP', named('vip'))}/tags")
    assert (told["count"], told["base"], told["tested"]) == (20, 40, 2)
    [item] = told["items"]
    assert (item["tag_id"], item["tag"], item["support"], item["base_support"]) == (loyal.id, "loyal", 20, 22)
    assert item["lift"] == pytest.approx((20 / 20) / (22 / 40))
    assert item["significant"]
    assert not item["defining"]
    assert item["q"] == pytest.approx(2 * item["p"])
    more = call(api, "get", f"/audiences/{tree('V2', named('vip'))}/tags?min_support=1")["items"]
    assert {each["tag_id"]: each["significant"] for each in more} == {loyal.id: True, rare.id: False}


def test_a_tag_that_the_condition_itself_asks_for_is_marked(api, tagged, tree):
    loyal = tagged[0]
    id_ = tree("L", {"kind": "has_tag", "tag_ids": [loyal.id]})
    items = call(api, "get", f"/audiences/{id_}/tags")["items"]
    assert [each["defining"] for each in items if each["tag_id"] == loyal.id] == [True]


def test_an_empty_audience_has_no_tags_in_common(api, tagged, tree):
    told = call(api, "get", f"/audiences/{tree('nobody', named('nobody'))}/tags")
    assert (told["count"], told["items"]) == (0, [])


def test_the_statistic_is_that_of_the_entropies():
    """Dunning's own form: 2 · (Σ k ln k of the cells − of the rows − of the columns + of the whole)."""

    def klogk(*counts):
        return sum(k * math.log(k) for k in counts if k)

    for table in ([[20, 0], [2, 18]], [[110, 2442], [111, 29114]], [[1, 9], [10, 90]]):
        (a, b), (c, d) = table
        entropies = klogk(a, b, c, d) - klogk(a + b, c + d) - klogk(a + c, b + d) + klogk(a + b + c + d)
        assert likelihood_ratio(table) == pytest.approx(2 * entropies, abs=1e-6)
    # "the swiss" in the paper's own table of bigrams: -2 log λ = 270.72
    assert likelihood_ratio([[110, 2442], [111, 29114]]) == pytest.approx(270.72, abs=0.01)


def test_p_is_the_tail_of_chi_square_and_chance_is_not_significant():
    assert excess(1, (10, 100), (100, 1000)).p == pytest.approx(1.0)
    gone = excess(1, (2, 3), (4, 0))  # all customers went after the sets were made
    assert (gone.base, gone.lift) == (5, pytest.approx(2 / 3 / (4 / 5)))
    found = excess(1, (20, 100), (100, 1000))
    assert found.lift == pytest.approx(2)
    assert found.g2 < 10.828  # the quantile of 0.001
    assert 0.001 < found.p < 0.002


def test_q_is_the_false_discovery_rate():
    """The 15 values of Benjamini and Hochberg's own example (1995, section 3.1): four are significant at 0.05."""
    ps = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    qs = false_discovery(ps)
    assert sum(q <= 0.05 for q in qs) == 4
    assert qs == sorted(qs)
    assert false_discovery(ps[::-1]) == qs[::-1]
    assert false_discovery([]) == []

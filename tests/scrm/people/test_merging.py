"""Two become one and two again, exactly."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    cast,
    func,
    literal_column,
    select,
    table,
    text,
)  # fmt: skip

from scrm.customers.service.wanting import ensure_customers
from scrm.kernel.clock import utcnow
from scrm.kernel.db import Base, db, transaction
from scrm.kernel.db import session as current_session
from scrm.kernel.errors import Conflict, InvalidInput, NotFound
from scrm.people import jobs, registry
from scrm.people.queries.survivors import survivors
from scrm.people.service.consents import Consent, set_contactable
from scrm.people.service.identity import Identity as Key
from scrm.people.service.journal import shape_of
from scrm.people.service.matching import accept_match, reject_match
from scrm.people.service.merging import merge, unmerge
from scrm.people.service.resolving import resolve
from scrm.people.service.surviving import recompute_fields
from scrm.people.service.values import Said, write_values
from tests.profiles import examples

MOMENT = datetime(2026, 3, 2, 4, tzinfo=UTC)
LONG_AGO = MOMENT - timedelta(days=365)


@pytest.fixture
def badges(session):
    """A registered table with a unique key that contains the person, and columns that JSON could spoil."""
    made = Table(
        "badges", Base.metadata,
        Column("id", BigInteger, Identity(), primary_key=True), Column("person_id", BigInteger),
        Column("badge", Text), Column("points", Numeric(20, 6)), Column("seal", LargeBinary),
        UniqueConstraint("person_id", "badge"),
    )  # fmt: skip
    registry.person_table("badges", "person_id")
    made.create(session.connection())
    session.commit()
    yield made
    registry._tables.discard(registry.PersonTable("badges", "person_id"))
    shape_of.cache_clear()
    Base.metadata.remove(made)


def snapshot():
    """Everything that hangs on people, as comparable rows."""
    tables = [t.table for t in registry.person_tables()] + ["people", "person_fields", "person_consents"]
    return {
        name: sorted(
            current_session().scalars(select(cast(func.to_jsonb(literal_column("t")), Text)).select_from(t))
        )
        for name in tables
        for t in [table(name).alias("t")]
    }


def give(person, fields, consents, marks):
    for field, value, source, day in fields:
        current_session().execute(
            text("INSERT INTO person_values (person_id, field, value, source, at)"
                 " VALUES (:p, :f, to_jsonb(CAST(:v AS text)), :s, :at)"),
            {"p": person, "f": field, "v": value, "s": source, "at": LONG_AGO + timedelta(days=day)},
        )  # fmt: skip
    for channel, contactable, day in consents:
        set_contactable(person, Consent(channel, contactable, "shop", LONG_AGO + timedelta(days=day)))
    for badge, points in marks.items():
        current_session().execute(
            text("INSERT INTO badges (person_id, badge, points, seal) VALUES (:p, :b, :n, '\\xff00')"),
            {"p": person, "b": badge, "n": points},
        )


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["name", "birthday", "company"]), st.text("甲乙ab'\"\\", max_size=3),
        st.sampled_from(["staff", "mall", "wecom"]), st.integers(0, 5),
    ),
    max_size=6,
)  # fmt: skip
CONSENTS = st.lists(
    st.tuples(st.sampled_from(["wecom", "sms"]), st.booleans(), st.integers(0, 5)), max_size=4
)
MARKS = st.dictionaries(st.sampled_from(["vip", "new", "old"]), st.decimals(-9, 9, places=6), max_size=3)
SIDE = st.tuples(FIELDS, CONSENTS, MARKS)


@examples(12, phases=[Phase.explicit, Phase.generate])
@given(one=SIDE, other=SIDE, customers=st.integers(0, 2), swap=st.booleans())
def test_unmerge_of_merge_is_nothing(badges, found, one, other, customers, swap):
    db.session.remove()
    example = db.engine.begin_nested()  # the fixture's connection: what one example writes is undone
    with transaction():
        linked = ensure_customers([f"wm{n}" for n in range(customers)])
    a, b = found({"unionid": "ua", "phone": "13912345670"}, {"external_userid": "wm0", "member_no": "B"})
    with transaction():
        give(a, *one)
        give(b, *other)
        recompute_fields([a, b])
    before = snapshot()
    kept, gone = (b, a) if swap else (a, b)
    with transaction():
        merged = merge(kept, gone, "test")
    between = snapshot()
    assert f'"person_id": {gone},' not in str([between[t.table] for t in registry.person_tables()])
    assert len(linked) == 0 or survivors([gone]) == {gone: kept}
    with transaction():
        unmerge(merged, "test")
    assert snapshot() == before
    db.session.remove()
    example.rollback()


def refuse(person, channel="sms", contactable=False, at=MOMENT):
    with transaction():
        set_contactable(person, Consent(channel, contactable, "shop", at))


def test_the_stricter_consent_wins_and_a_later_refusal_counts_for_both(found, rows):
    a, b = found({"phone": "13912345670"}, {"phone": "13912345671"})
    refuse(a, contactable=True, at=LONG_AGO + timedelta(days=1))
    refuse(b, at=LONG_AGO)
    with transaction():
        merged = merge(a, b, "test")
    consent = "SELECT channel, contactable FROM person_consents WHERE person_id = :p ORDER BY channel"
    assert rows(consent, p=a) == [("sms", False)]
    refuse(a, "wecom", at=utcnow() + timedelta(minutes=1))
    with transaction():
        unmerge(merged, "test")
    assert rows(consent, p=a) == [("sms", True), ("wecom", False)]
    assert rows(consent, p=b) == [("sms", False), ("wecom", False)]


def test_what_came_after_a_merge_stays_where_its_identity_says(session, found, rows):
    a, b = found({"unionid": "ua"}, {"phone": "13912345671"})
    with transaction():
        merged = merge(a, b, "test")
    found({"phone": "13912345671", "email": "b@b.cn"}, {"unionid": "ua", "email": "a@a.cn"})
    found({"email": "b@b.cn", "external_userid": "wm-b"})
    with transaction():
        ensure_customers(["wm-b"])
        current_session().execute(
            text("INSERT INTO person_values (person_id, field, value, source, at)"
                 " VALUES (:p, 'name', to_jsonb(CAST('later' AS text)), 'mall', :at)"),
            {"p": a, "at": MOMENT},
        )  # fmt: skip
    assert rows("SELECT person_id FROM customer_people") == [(a,)]
    with transaction():
        assert unmerge(merged, "test") == b
    whose = dict(rows("SELECT value, person_id FROM identities"))
    assert whose == {"ua": a, "a@a.cn": a, "+8613912345671": b, "b@b.cn": b, "wm-b": b}
    assert rows("SELECT person_id FROM customer_people") == [(b,)]
    assert rows("SELECT person_id, field FROM person_fields") == [(a, "name")]


def test_merges_are_undone_from_the_last_to_the_first(found):
    a, b, c = found({"unionid": "a"}, {"unionid": "b"}, {"unionid": "c"})
    with transaction():
        first = merge(b, c, "test")
        second = merge(a, b, "test")
        with pytest.raises(Conflict, match=f"undo merge {second} first"):
            unmerge(first, "test")
        with pytest.raises(Conflict, match=f"part of person {b}"):
            merge(a, c, "test")
    assert survivors([a, b, c]) == {a: a, b: a, c: a}
    assert found({"unionid": "c"}) == [a]
    with transaction():
        unmerge(second, "test")
        unmerge(first, "test")
        with pytest.raises(Conflict, match="undone already"):
            unmerge(first, "test")
    assert found({"unionid": "a"}, {"unionid": "b"}, {"unionid": "c"}) == [a, b, c]


def test_wrong_merges_are_refused(found):
    (a,) = found({"unionid": "a"})
    with transaction():
        with pytest.raises(InvalidInput):
            merge(a, a, "test")
        with pytest.raises(NotFound):
            merge(a, a + 999, "test")
        with pytest.raises(NotFound):
            unmerge(999_999, "test")


def test_the_job_merges_chains_of_matches_and_stops_at_contradictions(found, rows):
    people = found({"unionid": "u"}, {"phone": "13912345670"}, {"email": "a@b.cn"}, {"card": "C1"})
    found({"unionid": "u", "phone": "13912345670"}, {"phone": "13912345670", "email": "a@b.cn"})
    found({"email": "a@b.cn", "card": "C1"})
    jobs.merge_matched()
    assert set(survivors(people).values()) == {people[0]}
    assert rows("SELECT DISTINCT state FROM person_matches") == [("accepted",)]
    assert found({"card": "C1"}) == [people[0]]


def test_who_has_two_member_numbers_by_the_time_of_the_merge_goes_before_a_person(found, rows):
    found({"unionid": "u"}, {"phone": "13912345670"})
    found({"unionid": "u", "phone": "13912345670"})
    found({"unionid": "u", "member_no": "A"}, {"phone": "13912345670", "member_no": "B"})
    jobs.merge_matched()
    assert rows("SELECT kind, state FROM person_matches") == [("conflict", "open")]
    assert rows("SELECT count(*) FROM merges") == [(0,)]


def test_a_person_decides_and_is_not_asked_again(found, rows):
    one = {"member_no": "A", "phone": "13912345670"}
    other = {"member_no": "B", "phone": "13912345670"}
    a, b = found(one, other)
    ((match,),) = rows("SELECT id FROM person_matches")
    with transaction():
        reject_match(match, "apikey:1")
        with pytest.raises(Conflict):
            accept_match(match, "apikey:1")
    found(one, other)
    assert rows("SELECT id, state, decided_by FROM person_matches") == [(match, "rejected", "apikey:1")]
    assert found({"member_no": "A"}, {"member_no": "B"}) == [a, b]


def test_an_accepted_conflict_keeps_whom_the_person_names_and_an_unmerge_is_final(found, rows):
    a, b = found({"member_no": "A", "phone": "13912345670"}, {"member_no": "B", "phone": "13912345670"})
    ((match,),) = rows("SELECT id FROM person_matches")
    with transaction():
        merged = accept_match(match, "apikey:1", keep_id=a)
    assert found({"member_no": "B"}) == [a]
    with transaction():
        unmerge(merged, "apikey:2")
    found({"member_no": "B", "phone": "13912345670"})
    jobs.merge_matched()
    assert rows("SELECT state, decided_by FROM person_matches") == [("rejected", "apikey:2")]
    assert found({"member_no": "B"}) == [b]


def test_customers_of_before_get_their_persons_by_a_job_that_may_run_twice(session, rows):
    with transaction():
        current_session().execute(
            text("INSERT INTO customers (external_userid, unionid)"
                 " SELECT 'wm' || n, CASE WHEN n % 2 = 0 THEN 'u' || n / 4 END FROM generate_series(1, 1500) n")
        )  # fmt: skip
    assert jobs.link_unlinked.due()
    jobs.link_unlinked()
    assert not jobs.link_unlinked.due()
    first = rows("SELECT count(*), count(DISTINCT person_id) FROM customer_people")
    jobs.link_unlinked()
    assert rows("SELECT count(*), count(DISTINCT person_id) FROM customer_people") == first
    assert first[0][0] == 1500
    assert first[0][1] == 750 + 376  # half have a unionid, and two of those share one


def test_a_merge_waits_for_a_batch_that_still_writes_for_the_person(app, committed, rows):
    with transaction():
        a, b = resolve([[Key("unionid", "a")], [Key("unionid", "b")]], "mall")
    merged = threading.Event()

    def merge_them():
        with app.app_context():
            with transaction():
                merge(a, b, "test")
            merged.set()
            db.session.remove()

    thread = threading.Thread(target=merge_them)
    with transaction():
        assert resolve([[Key("unionid", "b")]], "till") == [b]
        thread.start()
        assert not merged.wait(0.3)
        write_values([Said(b, "name", "late", "till", MOMENT)])
    thread.join(60)
    assert merged.is_set()
    assert rows("SELECT person_id, value FROM person_fields") == [(a, "late")]
    with transaction():
        assert resolve([[Key("unionid", "b")]], "till") == [a]

"""Whatever happens to events, orders, products and persons: traits kept step by step are those worked out anew."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from scrm.behaviour.service.forgetting import forget_events
from scrm.kernel.clock import utcnow
from scrm.kernel.db import Base, transaction
from scrm.people.service.merging import merge, unmerge
from scrm.portraits.traits.service import computing
from scrm.portraits.traits.service.defining import define
from tests.profiles import examples

CNY = [{"field": "currency", "op": "eq", "value": "CNY"}]
EVENTS = {"source": "events", "event_type": "viewed", "field": None, "filters": [], "window_days": None}
LINES = {"source": "order_lines", "event_type": None, "field": None, "filters": [], "window_days": None}
DEFINITIONS = {
    "views": EVENTS | {"measure": "count", "window_days": 10},
    "pages": EVENTS | {"measure": "unique_list", "field": "page"},
    "parts": EVENTS | {"measure": "most_frequent", "field": "parts"},
    "gifts": EVENTS
    | {"measure": "count", "filters": [{"field": "parts", "op": "in", "value": ["gift", "x"]}]},
    "last": EVENTS | {"measure": "last", "field": "at"},
    "spent": LINES | {"measure": "sum", "field": "amount", "filters": CNY},
    "lately": LINES | {"measure": "count", "window_days": 10},
    "taste": LINES | {"measure": "most_frequent", "field": "category"},
}
PEOPLE, DAYS = st.integers(0, 2), st.sampled_from([0, 3, 9, 11, 40, 400])
PARTS = st.lists(st.sampled_from(["gift", "a", "b"]), max_size=3)
STATUSES = st.sampled_from(["placed", "paid", "paid", "completed", "cancelled", "refunded"])
STEPS = st.one_of(
    st.tuples(st.just("view"), st.integers(0, 4), PEOPLE, DAYS, st.sampled_from(["p", "q"]), PARTS),
    st.tuples(st.just("order"), st.integers(0, 2), PEOPLE, DAYS, STATUSES, st.sampled_from(["5", "9.5"])),
    st.tuples(st.just("refund"), st.integers(0, 2), DAYS, st.sampled_from(["cancelled", "refunded"])),
    st.tuples(st.just("product"), st.sampled_from(["tea", "cups"])),
    st.tuples(st.just("merge"), PEOPLE, PEOPLE),
    st.tuples(st.just("unmerge")),
    st.tuples(st.just("forget"), DAYS),
    st.tuples(st.just("work")),
)  # fmt: skip


class World:
    """Does one step at a time through the API, or the service that people use."""

    def __init__(self, api, session):
        self.api, self.session, self.merges = api, session, []

    def _post(self, path, row):
        answer = self.api.post(f"/api/v1/{path}:batch", json={"source": "mall", path: [row]})
        assert answer.status_code == 200, answer.json

    def view(self, n, person, days, page, parts):
        row = {"source_id": f"e{n}", "type": "viewed", "at": at(days), "identities": who(person)}
        self._post("events", row | {"properties": {"page": page, "parts": parts}})

    def order(self, n, person, days, status, amount):
        lines = [{"product": "t1", "quantity": "1", "amount": amount}]
        history = [{"status": "placed", "at": at(days)}, {"status": status, "at": at(days)}]
        row = {
            "source_id": f"o{n}",
            "identities": who(person),
            "amount": amount,
            "currency": "CNY",
            "lines": lines,
        }
        self._post("orders", row | {"history": history, "updated_at": utcnow().isoformat()})

    def refund(self, n, days, status):
        self._post("orders", {"source_id": f"o{n}", "history": [{"status": status, "at": at(days)}]})

    def product(self, category):
        self._post("products", {"source_id": "t1", "name": "Tea", "category": category})

    def merge(self, one, other):
        wanted = [f"wm{one}", f"wm{other}"]
        known = "SELECT DISTINCT person_id FROM identities WHERE value = ANY(:wanted) ORDER BY 1"
        ids = self.session.scalars(text(known), {"wanted": wanted}).all()
        if len(ids) == 2:
            with transaction():
                self.merges.append(merge(*ids, "apikey:1"))

    def unmerge(self):
        if self.merges:
            with transaction():
                unmerge(self.merges.pop(), "apikey:1")

    def forget(self, days):
        type_id = self.session.scalar(text("SELECT id FROM event_types"))
        with transaction():
            forget_events(type_id, utcnow() - timedelta(days=days))

    def work(self):
        with transaction():
            computing.compute_wanted(1000)


def at(days):
    return (utcnow() - timedelta(days=days, seconds=60)).isoformat()


def who(person):
    return {"external_userid": f"wm{person}"}


def kept(session):
    return session.execute(
        text("""SELECT t.key, v.person_id, v.value_num, v.value_text, v.value_time, v.value_list
          FROM trait_values v JOIN traits t ON t.id = v.trait_id ORDER BY 1, 2""")
    ).all()


def empty(session):
    session.expunge_all()
    for table in reversed(Base.metadata.sorted_tables):
        if table.name != "api_keys":
            session.execute(table.delete())


@examples(6)
@given(steps=st.lists(STEPS, min_size=8, max_size=20))
def test_step_by_step_is_all_at_once(api, session, steps):
    empty(session)
    world = World(api, session)
    properties = [
        {"key": key, "type": kind, "name_zh": key, "name_en": key}
        for key, kind in (("page", "text"), ("parts", "list"))
    ]
    kind = {"key": "viewed", "name_zh": "浏览", "name_en": "viewed", "properties": properties}
    assert api.post("/api/v1/event-types", json=kind).status_code == 201
    with transaction():
        traits = [define(key, (key, key), definition) for key, definition in DEFINITIONS.items()]
    for name, *values in steps:
        getattr(world, name)(*values)
    world.work()
    step_by_step = kept(session)
    with transaction():
        for trait in traits:
            computing.compute_for_everybody(trait.id)
    assert kept(session) == step_by_step
    session.execute(text("DELETE FROM trait_values"))
    with transaction():
        for trait in traits:
            computing.compute_for_everybody(trait.id)
    assert kept(session) == step_by_step

"""What came of group codes, counted against stays written by hand."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

URL = "/api/v1/group-codes"
PERIOD = "since=2026-03-01T00:00:00Z&until=2026-04-01T00:00:00Z"
STAYS = [
    # group, joined, hours stayed (None: still there), customer
    (0, "2026-03-02 15:00Z", None, "wmA"),  # 23:00 in Shanghai: the 2nd
    (0, "2026-03-02 17:00Z", 3, None),  # 01:00 in Shanghai: the 3rd
    (0, "2026-03-03 01:00Z", 100, "wmLost"),
    (1, "2026-03-03 01:00Z", 24 * 8, None),
    (1, "2026-04-02 01:00Z", None, None),  # after the period
]


@pytest.fixture
def code(company, committed):
    groups = [company.group(0), company.group(1)]
    made = company.code(*groups)
    for person, lost in (("wmA", False), ("wmLost", True)):
        committed.execute(text("INSERT INTO customers (external_userid) VALUES (:e)"), {"e": person})
        committed.execute(
            text("""INSERT INTO follows (customer_id, staff_id, added_at, deleted_by_customer_at)
            SELECT c.id, min(s.id), now(), CASE WHEN :lost THEN now() END
            FROM customers c, staff s WHERE c.external_userid = :e GROUP BY c.id"""),
            {"e": person, "lost": lost},
        )
    for number, (group, joined, hours, person) in enumerate(STAYS):
        committed.execute(
            text("""INSERT INTO group_stays (group_id, member_id, member_type, customer_id, state, joined_at, left_at)
            VALUES (:group, :member, 2, (SELECT id FROM customers WHERE external_userid = :member), :state,
              CAST(:joined AS timestamptz), CAST(:joined AS timestamptz) + make_interval(hours => :hours))"""),
            {"group": groups[group], "member": person or f"wm{number}", "state": made["state"], "joined": joined,
             "hours": hours},
        )  # fmt: skip
    committed.commit()
    return {**made, "group_ids": groups}


def test_figures_by_group_and_day_of_the_corps_zone(api, code):
    shown = api.get(f"{URL}/{code['id']}/statistics?{PERIOD}").json
    assert shown["total"] == {"joins": 4, "present": 1, "left_24h": 1, "left_7d": 2, "customers": 1}
    first, second = code["group_ids"]
    assert [(row["day"], row["group_id"], row["joins"]) for row in shown["days"]] == [
        ("2026-03-02", first, 1),
        ("2026-03-03", first, 2),
        ("2026-03-03", second, 1),
    ]
    assert [(row["group_id"], row["joins"], row["present"]) for row in shown["groups"]] == [
        (first, 3, 1),
        (second, 1, 0),
    ]


def test_the_overview_has_every_code_with_its_open_groups(api, company, code):
    other = company.code(company.group())
    rows = api.get(f"{URL}/overview?{PERIOD}").json["items"]
    assert [(row["group_code_id"], row["joins"], row["groups"], row["open_groups"]) for row in rows] == [
        (code["id"], 4, 2, 2),
        (other["id"], 0, 1, 1),
    ]
    assert api.get(f"{URL}/{code['id']}").json["joins"] == 5


def test_a_limited_key_sees_the_figures_of_its_own_groups_only(api_with, committed, code):
    owner = committed.scalar(
        text("SELECT owner_staff_id FROM customer_groups WHERE id = :id"), {"id": code["group_ids"][1]}
    )
    own = api_with("group-codes:read", staff_ids=[owner])
    assert own.get(f"{URL}/{code['id']}/statistics?{PERIOD}").json["total"]["joins"] == 1
    assert [g["group_id"] for g in own.get(f"{URL}/{code['id']}").json["groups"]] == code["group_ids"][1:]
    assert own.get(f"{URL}/overview?{PERIOD}").json["items"][0]["joins"] == 1


@pytest.mark.parametrize(("left", "counted"), [("2026-03-12 15:30Z", 1), ("2026-03-12 16:30Z", 0)])
def test_seven_days_are_those_of_the_corps_zone_also_where_one_has_23_hours(
    api, company, committed, configure, left, counted
):
    configure(corp={"timezone": "America/New_York"})
    group = company.group()
    made = company.code(group)
    committed.execute(
        text("""INSERT INTO group_stays (group_id, member_id, member_type, state, joined_at, left_at)
        VALUES (:group, 'wm', 2, :state, '2026-03-05 17:00Z', :left)"""),
        {"group": group, "state": made["state"], "left": left},
    )  # from noon to noon of New York are 167 hours: the 8th has 23
    committed.commit()
    assert api.get(f"{URL}/{made['id']}/statistics?{PERIOD}").json["total"]["left_7d"] == counted
    (row,) = api.get(f"{URL}/overview?{PERIOD}").json["items"]
    assert row["left_7d"] == counted


def test_the_default_period_is_the_last_30_days(api, code):
    shown = api.get(f"{URL}/{code['id']}/statistics").json
    since, until = (datetime.fromisoformat(shown[name]) for name in ("since", "until"))
    assert (until - since).days == 30
    assert abs((datetime.now(UTC) - until).total_seconds()) < 60


@pytest.mark.parametrize("query", ["since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "since=soon"])
def test_a_wrong_period_is_refused(api, code, query):
    assert api.get(f"{URL}/{code['id']}/statistics?{query}").status_code == 422

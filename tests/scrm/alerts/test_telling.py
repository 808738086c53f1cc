"""Who is told: members, those who lead them, operators; each once."""

from __future__ import annotations

from scrm.alerts.jobs import send_alerts
from scrm.alerts.models import AlertState
from scrm.alerts.service import Alert
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.staff.events import StaffMerged
from scrm.staff.models import Staff
from scrm.wecom.events import CircuitOpened, EffectsParked
from tests.scrm.alerts.conftest import at, entries, member, messages, news, tell


def receivers(**values):
    return {entry.receiver_id for entry in entries(**values)}


def test_telling_twice_is_telling_once_per_receiver(people):
    tell(news("a", people["li"]), news("a", people["li"]))
    tell(news("a", people["li"], people["wang"], text="anders"))
    assert [(e.receiver_id, e.zh) for e in entries()] == [
        (people["li"], "消息 a"),
        (people["wang"], "anders a"),
    ]


def test_managers_are_the_nearest_leaders_up_the_tree_and_never_the_member_themself(people):
    tell(news("team", managers_of=(people["li"],)), news("branch", managers_of=(people["chief"],)))
    assert receivers(key="team") == {people["chief"]}
    assert receivers(key="branch") == {people["boss"]}


def test_where_nobody_leads_operators_stand_in(people, configure):
    configure(alerts={"operators": ("wang",)})
    tell(news("top", managers_of=(people["boss"],)))
    assert receivers() == {people["wang"]}


def test_operators_are_found_by_userid_in_any_case_even_before_they_are_known(people, configure, session):
    configure(alerts={"operators": ("BOSS", "newcomer")})
    tell(news("a", operators=True))
    new = session.query(Staff).filter_by(userid="newcomer").one()
    assert receivers() == {people["boss"], new.id}


def test_without_operators_an_alert_is_kept_and_reaches_nobody(people, noon):
    tell(news("a", operators=True))
    tell(news("a", operators=True))
    [entry] = entries()
    assert (entry.receiver_id, entry.state, entry.reason) == (None, AlertState.SILENCED, "no receiver")
    with at("2026-03-02 13:00"):
        send_alerts()
    assert messages() == []


def test_for_a_member_who_left_their_leader_is_told(people):
    gone = member("gone", 3, left=True)
    tell(news("a", gone))
    assert receivers() == {people["chief"]}


def test_who_leaves_while_an_alert_waits_is_not_told_and_their_leader_is(people, session):
    with at("2026-03-02 12:00"):
        tell(news("a", people["li"], people["wang"]))
    with at("2026-03-02 12:05"):
        session.get(Staff, people["li"]).left_at = utcnow()
        session.flush()
        send_alerts()
        send_alerts()
    assert [userid for userid, _ in messages()] == ["chief", "wang"]
    assert [(e.state, e.reason) for e in entries(receiver_id=people["li"])] == [("silenced", "left")]


def test_who_leaves_without_anybody_to_stand_in_leaves_the_alert_shown(people, session):
    with at("2026-03-02 12:00"):
        tell(news("a", people["boss"]))
    with at("2026-03-02 12:05"):
        session.get(Staff, people["boss"]).left_at = utcnow()
        session.flush()
        send_alerts()
    assert [(e.state, e.reason) for e in entries()] == [("silenced", "no receiver")]


def test_a_muted_kind_is_kept_and_not_sent(people, configure):
    configure(alerts={"muted_kinds": ("news",)})
    with at("2026-03-02 12:00"):
        tell(news("a", people["li"], urgent=True), Alert("other", "b", "乙", "b", staff_ids=(people["li"],)))
    with at("2026-03-02 12:05"):
        send_alerts()
    assert [(e.state, e.reason) for e in entries(kind="news")] == [("silenced", "muted")]
    assert [text.splitlines()[1:] for _, text in messages()] == [["03-02 12:00 乙"]]


def test_alerts_follow_a_member_whose_two_rows_became_one(people, session):
    tell(news("a", people["li"], people["wang"]), news("b", people["wang"]))
    with transaction():
        publish(StaffMerged(people["li"], people["wang"]))
    assert [(e.key, e.receiver_id) for e in entries()] == [("a", people["li"]), ("b", people["li"])]


def test_operators_hear_of_parked_effects_and_outages_once_an_hour(people, configure):
    configure(alerts={"operators": ("boss",)})
    with at("2026-03-02 12:00"):
        for _ in range(2):
            with transaction():
                publish(
                    EffectsParked((1, 2), "mark_tag", "exhausted"),
                    EffectsParked((3,), "mark_tag", "exhausted"),
                    EffectsParked((4,), "staff_message", "exhausted"),
                    CircuitOpened("main", "externalcontact/get", utcnow()),
                )
    with at("2026-03-02 13:00"), transaction():
        publish(EffectsParked((9,), "mark_tag", "exhausted"))
    assert [(e.kind, e.urgent) for e in entries(receiver_id=people["boss"])] == [
        ("effects_parked", False),
        ("circuit_opened", True),
        ("effects_parked", False),
    ]
    assert entries(kind="effects_parked")[0].zh.startswith("3 个外发动作")

"""When and how alerts go out: grouped, not at night, within WeCom's limits, each in one message."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from scrm.alerts import queries
from scrm.alerts.jobs import forget_alerts, send_alerts
from scrm.alerts.models import AlertEntry
from scrm.alerts.service import TEXT_BYTES, cut, message_text, settle_messages
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.wecom.effects import settled
from scrm.wecom.models import Effect, EffectState
from tests.scrm.alerts.conftest import at, entries, messages, news, tell

DAY = "2026-03-02"


def run(wall):
    """What the clock does at this time."""
    with at(wall if " " in wall else f"{DAY} {wall}"):
        due = queries.messages_due()
        send_alerts()
    return due


def settle(session, state, **values):
    """The lane finishes all messages."""
    effects = session.query(Effect).filter(Effect.state == EffectState.PLANNED).all()
    for effect in effects:
        effect.state, effect.finished_at = state, utcnow()
        for name, value in values.items():
            setattr(effect, name, value)
    session.flush()
    with transaction():
        publish(*(settled(effect) for effect in effects))


def test_what_comes_within_the_group_time_is_one_message(people, session):
    with at(f"{DAY} 12:00:00"):
        tell(news("a", people["li"]))
    with at(f"{DAY} 12:00:40"):
        tell(news("b", people["li"]), news("c", people["wang"]))
    assert not run("12:00:50")
    assert messages() == []
    assert run("12:01:01")
    assert messages() == [("li", "【客户管理提醒】2 条\n03-02 12:00 消息 a\n03-02 12:00 消息 b")]
    assert not run("12:01:20")
    assert run("12:01:41")
    assert [userid for userid, _ in messages()] == ["li", "wang"]


def test_an_urgent_one_goes_at_once_and_takes_the_waiting_along(people):
    with at(f"{DAY} 12:00:00"):
        tell(news("a", people["li"]))
        tell(news("b", people["li"], urgent=True))
    assert run("12:00:01")
    [(_, text)] = messages()
    assert [line.split()[-1] for line in text.splitlines()[1:]] == ["b", "a"]


def test_urgent_ones_in_a_row_stay_far_below_the_limit_of_wecom(people):
    for second in range(60):
        with at(f"{DAY} 12:00:{second:02}"):
            tell(news(f"u{second}", people["li"], urgent=True))
            send_alerts()
    assert 5 <= len(messages()) <= 6
    run("12:01:30")
    assert all(entry.effect_id for entry in entries())


@pytest.mark.parametrize("wall", ["22:00", "23:30", "2026-03-03 02:00", "2026-03-03 07:59"])
def test_quiet_hours_over_midnight_hold_back_what_is_not_urgent(people, wall):
    moment = wall if " " in wall else f"{DAY} {wall}"
    with at(moment):
        tell(news("calm", people["li"]), news("fire", people["wang"], urgent=True))
    run(moment + ":30")
    assert [userid for userid, _ in messages()] == ["wang"]
    assert not run("2026-03-03 07:59:59")
    assert run("2026-03-03 08:00:01")
    assert [userid for userid, _ in messages()] == ["wang", "li"]


@pytest.mark.parametrize(("wall", "goes"), [("21:58:50", True), ("21:59:00", False)])
def test_the_group_time_may_end_in_quiet_hours(people, wall, goes):
    with at(f"{DAY} {wall}"):
        tell(news("a", people["li"]))
    run("21:59:59")
    assert bool(messages()) is goes


def test_quiet_hours_are_those_of_the_corps_zone(people, configure):
    configure(corp={"timezone": "America/New_York"})
    with at(f"{DAY} 23:00"):  # Shanghai; New York has 10 in the morning
        tell(news("a", people["li"]))
    run("23:02")
    assert len(messages()) == 1
    assert "03-02 10:00" in messages()[0][1]


def test_no_quiet_hours_when_none_are_configured(people, configure):
    configure(alerts={"quiet_from": "", "quiet_until": ""})
    with at(f"{DAY} 03:00"):
        tell(news("a", people["li"]))
    assert run("03:01:01")


def test_an_urgent_message_at_night_does_not_take_the_calm_ones_along(people):
    with at(f"{DAY} 23:00"):
        tell(news("calm", people["li"]), news("fire", people["li"], urgent=True))
    run("23:02")
    [(_, text)] = messages()
    assert "calm" not in text
    assert len(entries(state="pending", effect_id=None)) == 1


def test_a_thousand_alerts_are_one_message_with_a_count(people):
    with at(f"{DAY} 12:00"):
        tell(*(news(f"{number:04}", people["li"], text="客户删除了成员" * 3) for number in range(1000)))
    run("12:02")
    [(_, text)] = messages()
    shown = len(text.splitlines()) - 2
    assert text.endswith(f"…另有 {1000 - shown} 条")
    assert 10 < shown < 60
    assert TEXT_BYTES - 150 < len(text.encode()) <= TEXT_BYTES
    assert all(entry.effect_id for entry in entries())


def test_one_endless_text_is_cut_at_a_character(people, app):
    for length in range(640, 700):
        text = message_text([(utcnow(), "客" * length)], 1)
        assert len(text.encode()) <= TEXT_BYTES
    assert cut("客户", 5) == "…"
    assert cut("客户", 6) == "客户"
    assert cut("ab客", 5) == "ab客"


def test_a_customer_called_like_a_link_is_no_link(people):
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"], text='<a href="http://evil.example">x</a>'))
    run("12:02")
    assert "<" not in messages()[0][1]


def test_english_where_the_corp_speaks_it(people, configure):
    configure(corp={"language": "en"})
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"]))
    run("12:02")
    assert messages()[0][1] == "[SCRM] alert\n03-02 12:00 news a"


def test_an_accepted_message_settles_its_alerts(people, session):
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"]), news("b", people["li"]))
    run("12:02")
    settle(session, EffectState.CONFIRMED)
    assert {(entry.state, entry.sent_at is not None) for entry in entries()} == {("sent", True)}


def test_a_refused_message_says_why_and_a_later_success_by_hand_counts(people, session):
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"]))
    run("12:02")
    settle(session, EffectState.FAILED, errcode=81013, error="user & party & tag all invalid")
    [entry] = entries()
    assert (entry.state, entry.reason) == ("failed", "81013 user & party & tag all invalid")
    session.execute(update(Effect).values(state=EffectState.PLANNED))
    session.expire_all()
    settle(session, EffectState.CONFIRMED)
    assert [entry.state for entry in entries()] == ["sent"]


def test_a_member_without_licence_was_not_reached(people, session):
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"]))
    run("12:02")
    settle(session, EffectState.CONFIRMED, result={"unlicenseduser": "li"})
    assert [(e.state, e.sent_at) for e in entries()] == [("failed", None)]


def test_what_could_not_be_sent_before_the_night_is_told_in_the_morning(people, session):
    with at(f"{DAY} 21:50"):
        tell(news("a", people["li"]))
    run("21:55")
    effect = session.query(Effect).one()
    with at(f"{DAY} 22:00"):
        assert abs((effect.deadline_at - utcnow()).total_seconds()) < 1
    with at(f"{DAY} 22:10"):
        settle(session, EffectState.EXPIRED)
        send_alerts()
    assert [(e.state, e.effect_id) for e in entries()] == [("pending", None)]
    run("2026-03-03 08:00")
    assert len(messages()) == 2
    assert entries()[0].effect_id != effect.id


def test_what_is_two_days_old_is_no_news(people, session):
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"]), news("b", people["wang"]))
    run("2026-03-04 12:01")
    assert {entry.state for entry in entries()} == {"expired"}
    assert messages() == []


def test_settling_touches_no_other_messages(people, session):
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"]))
    run("12:02")
    with transaction():
        settle_messages([])
    assert [entry.state for entry in entries()] == ["pending"]


def test_old_alerts_are_forgotten_and_waiting_ones_are_not(people, session):
    tell(news("a", people["li"]), news("b", people["li"]))
    session.execute(update(AlertEntry).values(created_at=utcnow().replace(year=2020)))
    session.execute(update(AlertEntry).where(AlertEntry.key == "a").values(state="sent"))
    forget_alerts()
    assert [entry.key for entry in entries()] == ["b"]


def test_without_an_app_that_may_write_to_members_nothing_is_due(people, configure, app, settings):
    with at(f"{DAY} 12:00"):
        tell(news("a", people["li"]))
    main = settings.apps["main"].model_copy(update={"features": ("externalcontact",)})
    app.extensions["scrm_settings"] = settings.model_copy(update={"apps": {"main": main}})
    assert not run("12:02")
    assert messages() == []
    configure()
    assert run("12:03")
    assert len(messages()) == 1

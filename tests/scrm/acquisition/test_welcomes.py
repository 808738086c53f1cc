"""Every way a welcome can end, checked against what the sandbox delivered."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from scrm.acquisition.models import Welcome
from scrm.acquisition.queries.due import names_wanted
from scrm.acquisition.service.greeting import EXPIRED, NOTHING_TO_SAY
from scrm.customers.models import Customer
from scrm.kernel import clock
from scrm.kernel.clock import utcnow
from scrm.kernel.db import transaction
from scrm.staff.models import Staff
from scrm.wecom.jobs import carry_out_urgent
from scrm.wecom.models import Effect

LINK = {"msgtype": "link", "link": {"title": "目录", "url": "https://example.com/list"}}
LOST_FILE = {"msgtype": "file", "file": {"library_id": 987654}}
GONE_IMAGE = {"msgtype": "image", "image": {"media_id": "expired"}}


def test_a_newcomer_is_welcomed_at_once(door, message, welcomes):
    message(text="欢迎来到{corp}", attachments=[LINK])
    newcomer = door.comes_in()
    door.work()
    assert door.delivered(newcomer)["text"] == "欢迎来到示例公司"
    assert [a["msgtype"] for a in door.delivered(newcomer)["attachments"]] == ["link"]
    [one] = welcomes()
    assert (one.outcome, one.reason, one.text_only, one.pending_code) == ("sent", None, False, None)
    assert one.finished_at


def test_the_same_callback_twice_sends_once(door, message, welcomes):
    message()
    [told] = door.sandbox.add(door.userid)
    for _ in range(3):
        door.callback(told, None, utcnow())
        door.work()
    assert [one.outcome for one in welcomes()] == ["sent"]
    assert len(door.sandbox.log("externalcontact/send_welcome_msg", everything=True)) == 1


def test_a_second_code_of_the_same_add_is_spare(door, message, welcomes):
    message()
    [told] = door.sandbox.add(door.userid, half="both", full_after=0)
    for code in (told["welcome_codes"]["main"], "the-full-adds-code"):
        door.callback({**told, "welcome_codes": {"main": code}}, None, utcnow())
    door.work()
    assert [one.outcome for one in welcomes()] == ["sent", "spare"]
    assert len(door.sandbox.log("externalcontact/send_welcome_msg", everything=True)) == 1


def test_nothing_configured_is_a_miss_with_its_reason(door, message, welcomes):
    message(enabled=False)
    door.comes_in()
    door.work()
    assert [(one.outcome, one.reason) for one in welcomes()] == [("missed", NOTHING_TO_SAY)]
    assert door.sandbox.log("externalcontact/send_welcome_msg", everything=True) == []


def test_too_late_is_a_miss_without_a_call(door, message, welcomes):
    message(text="{customer}")
    door.comes_in(ago=19)
    door.work()
    assert [(one.outcome, one.reason) for one in welcomes()] == [("missed", EXPIRED)]
    assert door.sandbox.log_counts().get("externalcontact/send_welcome_msg") is None


def test_a_welcome_whose_worker_was_away_expires_without_a_call(door, message, welcomes, session):
    message()
    door.comes_in()
    with clock.shifted(timedelta(seconds=30)):
        door.work()
    assert [(one.outcome, one.reason) for one in welcomes()] == [("missed", EXPIRED)]
    assert door.sandbox.log_counts().get("externalcontact/send_welcome_msg") is None


def test_a_wait_for_a_name_that_took_too_long_expires_too(door, message, welcomes):
    message(text="{customer}")
    door.comes_in()
    assert names_wanted()
    with clock.shifted(timedelta(seconds=30)):
        door.work()
    assert [(one.outcome, one.reason) for one in welcomes()] == [("missed", EXPIRED)]
    assert not names_wanted()


def test_an_unknown_name_is_asked_for_first(door, message, session):
    message(text="你好{customer}，我是{staff}")
    newcomer = door.comes_in(name="$1 {staff} \\1")
    session.execute(update(Staff).values(name="小王"))
    door.work()
    assert door.delivered(newcomer)["text"] == "你好$1 {staff} \\1，我是小王"
    assert len(door.sandbox.log("externalcontact/get")) == 1


def test_a_known_name_is_not_asked_for(door, message, session):
    message(text="你好{customer}")
    [told] = door.sandbox.add(door.userid)
    session.add(Customer(external_userid=told["external_userid"], name="老张"))
    newcomer = door.callback(told, None, utcnow())
    door.work()
    assert door.delivered(newcomer)["text"] == "你好老张"
    assert door.sandbox.log("externalcontact/get") == []


@pytest.mark.parametrize("fault", [{"kind": "errcode", "errcode": -1}, {"kind": "truncate"}])
def test_a_name_that_cannot_be_had_becomes_a_neutral_word(door, message, fault):
    message(text="你好{customer}")
    door.sandbox.fault(**fault, api="externalcontact/get", times=None)
    newcomer = door.comes_in(name="老张")
    door.work()
    assert door.delivered(newcomer)["text"] == "你好朋友"


def test_a_name_that_became_known_meanwhile_is_used_when_wecom_does_not_tell_it(door, message, session):
    message(text="你好{customer}")
    door.sandbox.fault("errcode", errcode=-1, api="externalcontact/get", times=None)
    newcomer = door.comes_in()
    with transaction():
        session.execute(update(Customer).values(name="老张"))
    door.work()
    assert door.delivered(newcomer)["text"] == "你好老张"


def test_with_little_time_left_nobody_is_asked(door, message):
    message(text="你好{customer}")
    newcomer = door.comes_in(ago=15, name="老张")
    door.work()
    assert door.delivered(newcomer)["text"] == "你好朋友"
    assert door.sandbox.log("externalcontact/get") == []


def test_with_hardly_any_time_left_attachments_stay_behind(door, message, welcomes):
    message(text="欢迎", attachments=[LINK])
    newcomer = door.comes_in(ago=17)
    door.work()
    assert door.delivered(newcomer)["attachments"] == []
    assert [(one.outcome, one.text_only) for one in welcomes()] == [("sent", True)]


def test_a_bad_attachment_leaves_the_text(door, message, welcomes):
    message(text="欢迎", attachments=[GONE_IMAGE])
    newcomer = door.comes_in()
    door.work()
    carry_out_urgent()
    assert door.delivered(newcomer)["text"] == "欢迎"
    assert [(one.outcome, one.text_only) for one in welcomes()] == [("sent", True)]


def test_a_file_taken_out_of_the_library_leaves_the_text(door, message, welcomes):
    message(text="欢迎", attachments=[LINK, LOST_FILE])
    newcomer = door.comes_in()
    door.work()
    carry_out_urgent()
    assert door.delivered(newcomer)["text"] == "欢迎"
    assert [(one.outcome, one.text_only) for one in welcomes()] == [("sent", True)]


def test_a_bad_attachment_without_text_is_a_miss(door, message, welcomes):
    message(text=None, attachments=[GONE_IMAGE])
    door.comes_in()
    door.work()
    [one] = welcomes()
    assert one.outcome == "missed"
    assert one.reason.startswith("40007")


def test_who_chats_already_is_not_welcomed_and_not_tried_again(door, message, welcomes):
    message()
    newcomer = door.comes_in()
    external_userid = door.sandbox.state_ids("customer")[0]
    door.sandbox.talk(door.userid, external_userid)
    door.work()
    with clock.shifted(timedelta(seconds=5)):
        door.work()
    [one] = welcomes()
    assert one.outcome == "missed"
    assert one.reason.startswith("41051")
    assert len(door.sandbox.log("externalcontact/send_welcome_msg", everything=True)) == 1
    assert newcomer.welcome_code not in (one.reason, one.code_digest)


def test_a_code_wecom_does_not_know_is_a_miss(door, message, welcomes):
    message()
    [told] = door.sandbox.add(door.userid)
    door.callback({**told, "welcome_codes": {"main": "invented"}}, None, utcnow())
    door.work()
    [one] = welcomes()
    assert one.outcome == "missed"
    assert one.reason.startswith("41050")


def test_another_app_that_is_sending_makes_us_try_shortly_after(door, message, welcomes):
    message()
    door.sandbox.fault("errcode", api="externalcontact/send_welcome_msg", errcode=41096, times=1)
    newcomer = door.comes_in()
    door.work()
    with clock.shifted(timedelta(seconds=3)):
        door.work()
    assert door.delivered(newcomer)["text"] == "欢迎"
    assert [one.outcome for one in welcomes()] == ["sent"]


def test_the_most_particular_message_wins(door, message, session):
    message(text="default")
    of_staff = message(text="staff", is_default=False)
    door.work()
    plain = door.comes_in("a-state-nobody-knows")
    staff_id = session.scalars(select(Staff.id)).one()
    session.execute(
        update(type(of_staff)).where(type(of_staff).id == of_staff.id).values(staff_ids=[staff_id])
    )
    session.expire_all()
    particular = door.comes_in()
    door.work()
    assert door.delivered(plain)["text"] == "default"
    assert door.delivered(particular)["text"] == "staff"


def test_a_burst_is_planned_in_few_statements(door, message, session):
    from scrm.acquisition.service.greeting import Newcomer, greet
    from scrm.customers.service.recording import Add, record_adds

    message()
    told = door.sandbox.add(door.userid, count=50)
    at = utcnow()
    with transaction():
        ids = record_adds([Add(door.userid, one["external_userid"], at) for one in told])
        greet(
            [
                Newcomer(ids[door.userid.casefold(), one["external_userid"]], one["welcome_codes"]["main"], at, None, "main")
                for one in told
            ]
        )  # fmt: skip
    door.work()
    assert (
        len(
            session.scalars(
                select(Effect.id).where(Effect.state == "confirmed", Effect.kind == "welcome")
            ).all()
        )
        == 50
    )
    assert session.scalars(select(Welcome.outcome)).all() == ["sent"] * 50

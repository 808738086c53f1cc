from __future__ import annotations

import pytest

DAY = 86_400


def code(answer):
    return answer["errcode"]


@pytest.fixture
def now(control):
    return lambda: int(control.overview()["now"])


def test_what_members_did_shows_the_next_day(wecom, friend, control, now):
    userid, external = friend
    today = now()
    control.talk(userid, external, messages=4, reply_seconds=120)
    control.talk(userid, external, messages=1, reply_seconds=None)
    control.add(userid, count=2)
    control.delete_follow(userid, external)
    ask = {"userid": [userid], "start_time": today, "end_time": today}
    assert wecom.contact("get_user_behavior_data", **ask)["behavior_data"] == []
    control.advance_clock(DAY)
    wecom.login()
    (row,) = wecom.contact("get_user_behavior_data", **ask)["behavior_data"]
    assert (row["chat_cnt"], row["message_cnt"], row["new_contact_cnt"]) == (2, 5, 2)
    assert (row["reply_percentage"], row["avg_reply_time"], row["negative_feedback_cnt"]) == (50.0, 2, 1)
    assert 0 <= today - row["stat_time"] < DAY
    span = {"start_time": today - 2 * DAY, "end_time": today}
    everybody = wecom.contact("get_user_behavior_data", partyid=[1], **span)["behavior_data"]
    assert len(everybody) == 3
    assert everybody[-1]["message_cnt"] == 5
    quiet = wecom.contact("get_user_behavior_data", userid=["staff0002"], **span)["behavior_data"]
    assert "reply_percentage" not in quiet[-1]


def test_behaviour_checks_its_input(wecom, corp, now):
    def ask(**body):
        return code(
            wecom.contact("get_user_behavior_data", **{"start_time": now(), "end_time": now(), **body})
        )

    assert ask() == 40063
    assert ask(userid=["nobody"]) == 40003
    assert ask(userid=["staff0001"] * 101) == 40058
    assert ask(userid=["staff0001"], start_time=now() - 31 * DAY) == 40058
    assert ask(userid=["staff0001"], start_time=now() - 181 * DAY, end_time=now() - 180 * DAY) == 40058
    assert ask(userid=["staff0001"], end_time=now() - DAY) == 40058


def test_groups_are_counted_by_owner_and_by_day(wecom, corp, control, now):
    today = now()
    people = control.state("member", "staff0003")["customers"][:2]
    chat_id = control.create_group("staff0003", people)["chat_id"]
    control.talk_in_group(chat_id, [people[0]], count=3)
    control.advance_clock(DAY)
    wecom.login()
    owners = {"owner_filter": {"userid_list": ["staff0003", "staff0001"]}}
    found = wecom.contact("groupchat/statistic", day_begin_time=today, **owners)
    assert (found["total"], found["next_offset"]) == (2, 2)
    assert [item["owner"] for item in found["items"]] == ["staff0003", "staff0001"]
    data = found["items"][0]["data"]
    assert data == {
        "new_chat_cnt": 1,
        "chat_total": 1,
        "chat_has_msg": 1,
        "new_member_cnt": 3,
        "member_total": 3,
        "member_has_msg": 1,
        "msg_total": 3,
        "migrate_trainee_chat_cnt": 0,
    }
    rising = wecom.contact("groupchat/statistic", day_begin_time=today, order_asc=1, limit=1, **owners)
    assert [item["owner"] for item in rising["items"]] == ["staff0001"]
    assert rising["next_offset"] == 1
    by_day = wecom.contact(
        "groupchat/statistic_group_by_day", day_begin_time=today - DAY, day_end_time=today, **owners
    )
    assert [item["data"]["new_chat_cnt"] for item in by_day["items"]] == [0, 1]


def test_group_statistics_check_their_input(wecom, corp, now):
    def ask(**body):
        return code(wecom.contact("groupchat/statistic", **body))

    owner = {"owner_filter": {"userid_list": ["staff0001"]}}
    assert ask(day_begin_time=now() - DAY) == 40063
    assert ask(**owner) == 40058
    assert ask(**owner, day_begin_time=now()) == 40058
    assert ask(**owner, day_begin_time=now() - DAY, order_by=9) == 40058
    assert ask(**owner, day_begin_time=now() - DAY, offset=-1) == 40058
    assert ask(**owner, day_begin_time=now() - DAY) == 0

from __future__ import annotations

import pytest

TEXT = {"content": "new coffee"}


def code(answer):
    return answer["errcode"]


def create(wecom, **more):
    return wecom.contact("add_msg_template", **({"text": TEXT} | more))


@pytest.fixture
def people(corp, control):
    """Customers of staff0001."""
    return control.state("member", "staff0001")["customers"]


@pytest.fixture
def task(wecom, people):
    return create(wecom, external_userid=people)["msgid"]


def results(wecom, msgid, userid="staff0001", **more):
    return wecom.contact("get_groupmsg_send_result", msgid=msgid, userid=userid, **more)


def test_nothing_is_sent_before_the_member_confirms(wecom, control, task, people):
    control.advance_clock(2)
    tasks = wecom.contact("get_groupmsg_task", msgid=task)["task_list"]
    assert tasks == [{"userid": "staff0001", "status": 0}]
    assert {row["status"] for row in results(wecom, task)["send_list"]} == {0}
    assert control.confirm_broadcast(task) == ["staff0001"]
    rows = results(wecom, task)["send_list"]
    assert {row["external_userid"] for row in rows} == set(people)
    assert all(row["status"] == 1 and row["send_time"] for row in rows)
    assert wecom.contact("get_groupmsg_task", msgid=task)["task_list"][0]["status"] == 2


def test_queries_right_after_creation_are_41063(wecom, control, task):
    assert code(wecom.contact("get_groupmsg_task", msgid=task)) == 41063
    assert code(results(wecom, task)) == 41063
    assert code(wecom.contact("remind_groupmsg_send", msgid=task)) == 41063
    control.advance_clock(1.1)
    assert code(results(wecom, task)) == 0


def test_staff_confirm_by_themselves_after_their_time_or_never(wecom, control, people, corp):
    control.staff_behaviour(["staff0001"], confirm_seconds=60)
    other = control.state("member", "staff0002")["customers"]
    msgid = create(wecom, external_userid=people + other)["msgid"]
    control.advance_clock(30)
    assert [row["status"] for row in wecom.contact("get_groupmsg_task", msgid=msgid)["task_list"]] == [0, 0]
    control.advance_clock(32)
    rows = wecom.contact("get_groupmsg_task", msgid=msgid)["task_list"]
    assert [(row["userid"], row["status"]) for row in rows] == [("staff0001", 2), ("staff0002", 0)]


def test_unknown_and_lost_customers_are_in_the_fail_list(wecom, control, people):
    control.delete_contact("staff0001", people[0])
    answer = create(wecom, external_userid=["wmnobody", *people])
    assert answer["fail_list"] == ["wmnobody", people[0]]
    assert code(create(wecom, external_userid=["wmnobody"])) == 41048


def test_a_shared_customer_goes_to_the_member_who_last_chatted(wecom, control, corp, people):
    shared = people[0]
    control.add("staff0002", external_userid=shared)
    control.talk("staff0001", shared)
    control.advance_clock(5)
    control.talk("staff0002", shared)
    msgid = create(wecom, external_userid=[shared])["msgid"]
    assert list(control.state("mass_send", msgid)["senders"]) == ["staff0002"]
    with_sender = create(wecom, external_userid=[shared], sender="staff0001")["msgid"]
    assert list(control.state("mass_send", with_sender)["senders"]) == ["staff0001"]


def test_a_sender_alone_means_all_of_their_customers(wecom, control, corp, people):
    msgid = create(wecom, sender="staff0001")["msgid"]
    assert set(control.state("mass_send", msgid)["senders"]["staff0001"]["recipients"]) == set(people)


def test_a_tag_filter_is_or_inside_and_and_between_lists(wecom, control, corp, people):
    one, two, three = control.state_ids("tag")[:3]
    control.edit("staff0001", people[0], tags=[one, three])
    control.edit("staff0001", people[1], tags=[two])
    groups = [{"tag_list": [one, two]}, {"tag_list": [three]}]
    msgid = create(wecom, tag_filter={"group_list": groups})["msgid"]
    assert list(control.state("mass_send", msgid)["senders"]["staff0001"]["recipients"]) == [people[0]]
    either = create(wecom, tag_filter={"group_list": groups[:1]}, sender="staff0001")["msgid"]
    assert len(control.state("mass_send", either)["senders"]["staff0001"]["recipients"]) == 2
    assert code(create(wecom, tag_filter={"group_list": [{"tag_list": ["etno"]}]})) == 40068


def test_group_sends_return_only_what_was_sent(wecom, control, corp):
    chats = [control.create_group("staff0001")["chat_id"] for _ in range(2)]
    answer = create(wecom, chat_type="group", sender="staff0001", chat_id_list=[*chats, "wrnone"])
    assert answer["fail_list"] == ["wrnone"]
    msgid = answer["msgid"]
    control.advance_clock(2)
    assert results(wecom, msgid)["send_list"] == []
    control.dismiss_group(chats[1])
    control.confirm_broadcast(msgid)
    rows = results(wecom, msgid)["send_list"]
    assert [(row["chat_id"], row["status"]) for row in rows] == [(chats[0], 1)]
    everything = create(wecom, chat_type="group", sender="staff0001")["msgid"]
    recipients = control.state("mass_send", everything)["senders"]["staff0001"]["recipients"]
    assert chats[0] in recipients
    assert chats[1] not in recipients


def test_people_who_left_get_status_2_and_those_over_the_cap_status_3(wecom, control, people):
    control.set_limits(receive_cap="day_1")
    first = create(wecom, external_userid=people[:2])["msgid"]
    control.advance_clock(2)
    control.confirm_broadcast(first)
    second = create(wecom, external_userid=people[:4])["msgid"]
    control.delete_follow("staff0001", people[2])
    control.advance_clock(2)
    control.confirm_broadcast(second)
    statuses = {row["external_userid"]: row["status"] for row in results(wecom, second)["send_list"]}
    assert [statuses[item] for item in people[:4]] == [3, 3, 2, 1]


@pytest.mark.parametrize(("cap", "allowed"), [("week_7", 7), ("month_days", 28), ("off", 40)])
def test_caps_count_per_week_or_month(wecom, control, people, cap, allowed):
    control.set_limits(receive_cap=cap)
    statuses = []
    for _ in range(33):
        msgid = create(wecom, external_userid=people[:1])["msgid"]
        control.advance_clock(1.5)
        control.confirm_broadcast(msgid)
        statuses.append(results(wecom, msgid)["send_list"][0]["status"])
    sent = statuses.count(1)
    assert sent == 33 if cap == "off" else allowed <= sent <= 31


def test_results_and_tasks_are_paged(wecom, control, people):
    control.add("staff0001", count=8)
    everybody = control.state("member", "staff0001")["customers"]
    msgid = create(wecom, external_userid=everybody)["msgid"]
    control.advance_clock(2)
    seen, cursor = [], ""
    while True:
        page = results(wecom, msgid, limit=5, cursor=cursor)
        seen += [row["external_userid"] for row in page["send_list"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == everybody
    assert code(results(wecom, msgid, cursor="zz")) == 50100
    assert len(results(wecom, msgid, limit=5000)["send_list"]) == len(everybody)


def test_three_reminders_a_day(wecom, control, task):
    control.advance_clock(2)
    codes = [code(wecom.contact("remind_groupmsg_send", msgid=task)) for _ in range(4)]
    assert codes == [0, 0, 0, 41094]
    control.advance_clock(86_400)
    wecom.login()
    assert code(wecom.contact("remind_groupmsg_send", msgid=task)) == 0


def test_a_cancelled_task_is_41093_and_stops_those_who_have_not_sent(wecom, control, people, corp):
    other = control.state("member", "staff0002")["customers"]
    msgid = create(wecom, external_userid=people + other)["msgid"]
    control.advance_clock(2)
    control.confirm_broadcast(msgid, ["staff0001"])
    assert code(wecom.contact("cancel_groupmsg_send", msgid=msgid)) == 0
    for path in ("cancel_groupmsg_send", "remind_groupmsg_send", "get_groupmsg_task"):
        assert code(wecom.contact(path, msgid=msgid)) == 41093
    senders = control.state("mass_send", msgid)["senders"]
    assert [senders[item]["status"] for item in ("staff0001", "staff0002")] == [2, 0]


def test_the_list_shows_tasks_of_a_month_by_kind(wecom, control, task):
    now = int(control.overview()["now"])
    span = {"start_time": now - 100, "end_time": now + 100}
    found = wecom.contact("get_groupmsg_list_v2", chat_type="single", **span)["group_msg_list"]
    assert [(item["msgid"], item["text"], item["create_type"]) for item in found] == [(task, TEXT, 0)]
    assert wecom.contact("get_groupmsg_list_v2", chat_type="group", **span)["group_msg_list"] == []
    personal = wecom.contact("get_groupmsg_list_v2", chat_type="single", filter_type=1, **span)
    assert personal["group_msg_list"] == []
    assert code(wecom.contact("get_groupmsg_list_v2", chat_type="single")) == 40063
    assert code(wecom.contact("get_groupmsg_list_v2", chat_type="poem", **span)) == 40058
    assert (
        code(wecom.contact("get_groupmsg_list_v2", chat_type="single", start_time=1, end_time=now)) == 40058
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, 40063),
        ({"text": None, "sender": "staff0001"}, 40063),
        ({"chat_type": "both", "sender": "staff0001"}, 40058),
        ({"chat_type": "group"}, 40063),
        ({"sender": "nobody"}, 40003),
        ({"chat_type": "group", "sender": "staff0001", "chat_id_list": ["wr"] * 2001}, 40058),
        ({"external_userid": ["wm"] * 10_001}, 40058),
        ({"chat_type": "group", "sender": "staff0001", "chat_id_list": ["wrnone"]}, 41048),
        ({"sender": "staff0001", "text": {"content": "x" * 4001}}, 40058),
    ],
)
def test_creation_checks_its_input(wecom, corp, body, expected):
    assert code(create(wecom, **body)) == expected


def test_queries_check_their_input(wecom, control, task, as_app):
    control.advance_clock(2)
    assert code(wecom.contact("get_groupmsg_task")) == 41046
    assert code(wecom.contact("get_groupmsg_task", msgid="msgno")) == 41047
    assert code(as_app("second").contact("get_groupmsg_task", msgid=task)) == 41047
    assert code(wecom.contact("get_groupmsg_send_result", msgid=task)) == 40003
    assert code(results(wecom, task, userid="staff0005")) == 40003

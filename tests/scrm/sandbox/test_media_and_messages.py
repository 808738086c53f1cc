from __future__ import annotations

import pytest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
MEGABYTE = 1024 * 1024
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(12)


def code(answer):
    return answer["errcode"]


def test_an_upload_lives_three_days_for_all_apps(wecom, control, as_app):
    answer = wecom.upload("upload", PNG, type="image")
    assert (answer["type"], answer["errmsg"]) == ("image", "")
    assert answer["created_at"].isdigit()
    url = f"{wecom.base_url}/cgi-bin/media/get"
    second = as_app("second")
    query = {"access_token": second.token, "media_id": answer["media_id"]}
    assert second.session.get(url, params=query, timeout=30).content == PNG
    control.advance_clock(3 * 86_400)
    wecom.login()
    assert code(wecom.get("media/get", media_id=answer["media_id"])) == 40007
    assert code(wecom.get("media/get")) == 41006


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("image", b"GIF89a-not-allowed", 40004),
        ("voice", b"not an amr file", 40004),
        ("video", b"not an mp4 file", 40004),
        ("voice", b"#!AMR\nsound", 0),
        ("file", b"12345", 40006),
        ("file", b"123456", 0),
        ("voice", b"#!AMR" + bytes(2 * MEGABYTE), 45001),
        ("poem", PNG, 40005),
        ("image", PNG + bytes(10 * MEGABYTE), 40009),
        ("video", MP4 + bytes(10 * MEGABYTE), 40011),
        ("file", bytes(20 * MEGABYTE + 1), 45001),
        ("voice", b"#!AMR\n" + (b"\x3c" + bytes(31)) * 3000, 0),
        ("voice", b"#!AMR\n" + (b"\x3c" + bytes(31)) * 3001, 45007),
    ],
)
def test_uploads_are_checked(wecom, kind, content, expected):
    assert code(wecom.upload("upload", content, type=kind)) == expected


def test_an_upload_needs_the_part_media(wecom):
    assert code(wecom.upload("upload", PNG, part="file", type="image")) == 44001


def test_uploadimg_gives_an_address_and_has_a_daily_quota(wecom, control):
    assert wecom.upload("uploadimg", PNG)["url"].startswith("https://")
    control.set_limits(uploadimg_day=1)
    assert code(wecom.upload("uploadimg", PNG)) == 45009
    assert code(wecom.upload("uploadimg", PNG + bytes(2 * MEGABYTE))) == 40009


def test_attachments_of_moments_are_bound_to_their_scene(wecom, corp):
    answer = wecom.upload("upload_attachment", PNG, media_type="image", attachment_type=1)
    assert isinstance(answer["created_at"], int)
    image = {"msgtype": "image", "image": {"media_id": answer["media_id"]}}
    assert code(wecom.contact("add_msg_template", sender="staff0001", attachments=[image])) == 41072
    assert code(wecom.upload("upload_attachment", PNG, media_type="image", attachment_type=9)) == 40058
    assert code(wecom.upload("upload_attachment", PNG, media_type="voice", attachment_type=1)) == 40005


def send(wecom, **more):
    body = {"touser": "staff0001", "msgtype": "text", "agentid": 1000002, "text": {"content": "hi"}} | more
    return wecom.post("message/send", **body)


def delivered(control, userid="staff0001"):
    return control.state("app_messages", userid)["messages"]


def test_a_message_reaches_members_by_id_department_and_all(wecom, corp, control):
    assert send(wecom, touser="STAFF0001|nobody")["invaliduser"] == "nobody"
    assert [item["text"]["content"] for item in delivered(control)] == ["hi"]
    department = corp["departments"][0]
    answer = send(wecom, touser="", toparty=f"{department}|99", totag="5")
    assert (answer["invalidparty"], answer["invalidtag"]) == ("99", "5")
    send(wecom, touser="@all")
    assert sum(len(delivered(control, userid)) for userid in corp["members"]) == 1 + 5 + len(
        wecom.get("user/simplelist", department_id=department)["userlist"]
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"agentid": None}, 41011),
        ({"agentid": 1}, 301002),
        ({"msgtype": "poem"}, 40008),
        ({"msgtype": ""}, 40008),
        ({"text": {"content": "好" * 683}}, 45002),
        ({"text": {"content": ""}}, 44004),
        ({"text": None}, 40058),
        ({"touser": ""}, 81012),
        ({"touser": "nobody|noone"}, 81013),
        ({"touser": "|".join(["u"] * 1001)}, 40032),
        ({"toparty": "|".join(["1"] * 101)}, 82002),
        ({"msgtype": "image", "image": {"media_id": "no"}}, 40007),
    ],
)
def test_message_send_checks_its_input(wecom, corp, more, expected):
    assert code(send(wecom, **more)) == expected


def test_identical_requests_are_dropped_in_silence_when_asked(wecom, corp, control):
    check = {"enable_duplicate_check": 1, "duplicate_check_interval": 600}
    assert code(send(wecom, **check)) == 0
    assert code(send(wecom, **check)) == 0
    assert len(delivered(control)) == 1
    control.advance_clock(601)
    send(wecom, **check)
    assert len(delivered(control)) == 2


def test_more_than_thirty_a_minute_to_one_member_are_dropped_in_silence(wecom, corp, control):
    for number in range(32):
        assert code(send(wecom, text={"content": str(number)})) == 0
    assert [item["dropped"] for item in delivered(control)].count(True) == 2


def test_members_write_to_the_app(inbox, corp, control):
    control.staff_message("staff0001", "hello ]]> there")
    control.staff_message("staff0002", msgtype="image", fields={"MediaId": "M1"})
    control.staff_event("staff0001", "enter_agent", fields={"EventKey": ""})
    assert control.wait_callbacks()
    found = sorted(inbox.events(), key=lambda event: event["MsgType"])
    event, image, text = found
    assert (event["Event"], event["FromUserName"], event["AgentID"]) == (
        "enter_agent",
        "staff0001",
        "1000002",
    )
    assert (image["MediaId"], image["FromUserName"]) == ("M1", "staff0002")
    assert text["Content"] == "hello ]]> there"
    assert text["MsgId"].isdigit()
    assert text["ToUserName"] == "wwsandbox00000001"

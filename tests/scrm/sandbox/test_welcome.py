from __future__ import annotations

import pytest

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def code(answer):
    return answer["errcode"]


@pytest.fixture
def newcomer(inbox, corp, control):
    return control.add("staff0001", name="Ann")[0]


def send(api, welcome_code, **more):
    body = {"text": {"content": "hi"}} | more
    return api.contact("send_welcome_msg", welcome_code=welcome_code, **body)


def test_a_welcome_is_delivered_once(wecom, newcomer, control):
    welcome_code = newcomer["welcome_codes"]["main"]
    assert code(send(wecom, welcome_code)) == 0
    assert code(send(wecom, welcome_code)) == 41051
    found = control.state("welcome", welcome_code)
    assert (found["sent_by"], found["message"]["text"]) == ("main", {"content": "hi"})


def test_a_code_lives_twenty_seconds(wecom, newcomer, control):
    control.advance_clock(21)
    assert code(send(wecom, newcomer["welcome_codes"]["main"])) == 41050


def test_missing_unknown_and_foreign_codes(wecom, newcomer, as_app):
    assert code(wecom.contact("send_welcome_msg", text={"content": "hi"})) == 41049
    assert code(send(wecom, "nonsense")) == 41050
    assert code(send(as_app("second"), newcomer["welcome_codes"]["main"])) == 41050


def test_chatting_first_ends_the_chance(wecom, newcomer, control):
    control.talk("staff0001", newcomer["external_userid"])
    assert code(send(wecom, newcomer["welcome_codes"]["main"])) == 41051


def test_of_two_apps_the_first_wins_and_the_other_is_told_to_wait_then_to_stop(
    inbox, second_inbox, corp, control, wecom, as_app
):
    control.set_limits(welcome_dispatch_seconds=10)
    codes = control.add("staff0001")[0]["welcome_codes"]
    assert set(codes) == {"main", "second"}
    second = as_app("second")
    assert code(send(wecom, codes["main"])) == 0
    assert code(send(second, codes["second"])) == 41096
    control.advance_clock(11)
    assert code(send(second, codes["second"])) == 41051


def test_every_app_hears_of_the_add_with_its_own_key_and_code(inbox, second_inbox, corp, control):
    codes = control.add("staff0001")[0]["welcome_codes"]
    assert control.wait_callbacks()
    assert inbox.events()[0]["WelcomeCode"] == codes["main"]
    assert second_inbox.events()[0]["WelcomeCode"] == codes["second"]


def test_no_code_where_the_console_welcomes_or_the_partner_is_a_wecom_user(inbox, corp, control):
    assert control.add("staff0001", type=2)[0]["welcome_codes"] == {}
    control.staff_behaviour(["staff0001"], console_welcome=True)
    assert control.add("staff0001")[0]["welcome_codes"] == {}


def test_a_full_add_after_a_welcomed_half_add_has_no_code(inbox, corp, control, wecom):
    person = control.add("staff0001", half="both", full_after=5, state="ch")[0]
    assert code(send(wecom, person["welcome_codes"]["main"])) == 0
    assert control.wait_callbacks()
    control.advance_clock(6)
    assert control.wait_callbacks()
    half, full = inbox.events()
    assert (half["ChangeType"], full["ChangeType"]) == ("add_half_external_contact", "add_external_contact")
    assert half["State"] == full["State"] == "ch"
    assert "WelcomeCode" in half
    assert "WelcomeCode" not in full


def test_the_codes_of_half_and_full_add_are_one_chance(inbox, corp, control, wecom):
    control.add("staff0001", half="both")
    assert control.wait_callbacks()
    first, second = [event["WelcomeCode"] for event in inbox.events()]
    assert code(send(wecom, first)) == 0
    assert code(send(wecom, second)) == 41051


def test_attachments_of_every_type_are_taken(wecom, newcomer):
    image = wecom.upload("upload", PNG, type="image")["media_id"]
    video = wecom.upload("upload", b"\x00\x00\x00\x18ftypmp42" + bytes(50), type="video")["media_id"]
    file = wecom.upload("upload", b"some text", type="file")["media_id"]
    url = wecom.upload("uploadimg", PNG)["url"]
    attachments = [
        {"msgtype": "image", "image": {"media_id": image}},
        {"msgtype": "image", "image": {"pic_url": url}},
        {"msgtype": "link", "link": {"title": "t", "url": "https://x.invalid", "desc": "d"}},
        {
            "msgtype": "miniprogram",
            "miniprogram": {"title": "t", "pic_media_id": image, "appid": "wx1", "page": "p"},
        },
        {"msgtype": "video", "video": {"media_id": video}},
        {"msgtype": "file", "file": {"media_id": file}},
    ]
    assert code(send(wecom, newcomer["welcome_codes"]["main"], attachments=attachments, text=None)) == 0


LINK = {"msgtype": "link", "link": {"title": "t", "url": "https://x.invalid"}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"text": {"content": "好" * 1334}}, 40058),
        ({"text": None}, 40063),
        ({"text": {"content": ""}, "attachments": []}, 40063),
        ({"attachments": [LINK] * 10}, 41064),
        ({"attachments": [{"msgtype": "poem", "poem": {}}]}, 41065),
        ({"attachments": [{"msgtype": "link", "link": {"title": "t"}}]}, 40063),
        ({"attachments": [{"msgtype": "link", "link": {"title": "t" * 129, "url": "u"}}]}, 40058),
        ({"attachments": [{"msgtype": "image", "image": {"media_id": "no"}}]}, 40007),
        ({"attachments": [{"msgtype": "image", "image": {"pic_url": "https://else.invalid/x"}}]}, 40007),
        ({"attachments": [{"msgtype": "image"}]}, 40058),
        ({"attachments": "none"}, 40058),
        ({"text": "hi"}, 40058),
    ],
)
def test_bad_messages_are_refused_and_the_chance_is_kept(wecom, newcomer, more, expected):
    welcome_code = newcomer["welcome_codes"]["main"]
    assert code(send(wecom, welcome_code, **more)) == expected
    assert code(send(wecom, welcome_code)) == 0


def test_people_who_chatted_before_get_no_code_when_they_add_again(inbox, corp, control, newcomer):
    external = newcomer["external_userid"]
    control.talk("staff0001", external)
    control.delete_follow("staff0001", external)
    assert control.add("staff0001", external_userid=external)[0]["welcome_codes"] == {}

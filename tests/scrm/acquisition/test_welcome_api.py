"""Welcome messages and welcomes through the API: limits on save, choice of the default, data scope."""

import pytest
from sqlalchemy import select

from scrm.acquisition.models import ChannelCode, WelcomeMessage
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff

URL = "/api/v1/welcome-messages"
LINK = {"msgtype": "link", "link": {"title": "目录", "url": "https://example.com"}}
IMAGE = {"msgtype": "image", "image": {"media_id": "M"}}


def link(**values):
    return {"msgtype": "link", "link": {**LINK["link"], **values}}


def made(api, **values):
    answer = api.post(URL, json={"name": "欢迎", "text": "你好{customer}", **values})
    assert answer.status_code == 201, answer.json
    return answer.json


def test_a_message_is_made_read_changed_and_taken_away(api):
    one = made(api, attachments=[LINK, IMAGE])
    assert one["attachments"] == [LINK, IMAGE]
    assert (one["enabled"], one["is_default"], one["staff_ids"]) == (True, False, [])
    assert api.get(f"{URL}/{one['id']}").json == one
    assert api.patch(f"{URL}/{one['id']}", json={"text": "新"}).json["text"] == "新"
    assert [item["id"] for item in api.get(URL).json["items"]] == [one["id"]]
    assert api.delete(f"{URL}/{one['id']}").status_code == 204
    assert api.get(f"{URL}/{one['id']}").status_code == 404


def test_the_limits_hold_exactly(api):
    made(api, text="a" * 4000)
    made(api, text="好" * 1333)  # 3999 bytes
    made(api, attachments=[IMAGE] * 9)
    made(api, attachments=[link(title="题" * 42 + "ab", desc="d" * 512, url="u" * 2048)])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"text": "a" * 4001}, "text"),
        ({"text": "好" * 1334}, "text"),
        ({"text": "", "attachments": []}, "text"),
        ({"text": None}, "text"),
        ({"attachments": [IMAGE] * 10}, "attachments"),
        ({"attachments": [LINK, IMAGE, link(title="题" * 43)]}, "attachments.2.link.title"),
        ({"attachments": [LINK, link(desc="d" * 513)]}, "attachments.1.link.desc"),
        ({"attachments": [link(url="u" * 2049)]}, "attachments.0.link.url"),
        ({"attachments": [{"msgtype": "link", "link": {"title": "t"}}]}, "attachments.0.link.url"),
        ({"attachments": [{"msgtype": "voice"}]}, "attachments.0.msgtype"),
        ({"attachments": [{"msgtype": "image"}]}, "attachments.0.image"),
        ({"attachments": [{"msgtype": "image", "image": {}}]}, "attachments.0.image.library_id"),
        ({"attachments": [{**IMAGE, "link": LINK["link"]}]}, "attachments.0.link"),
        (
            {"attachments": [{"msgtype": "miniprogram", "miniprogram": {
                "title": "t" * 65, "pic_media_id": "M", "appid": "wx", "page": "p"}}]},
            "attachments.0.miniprogram.title",
        ),
        ({"staff_ids": [999_999]}, "staff_ids.0"),
        ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_what_wecom_would_refuse_is_refused_on_save(api, session, wrong, field):
    answer = api.post(URL, json={"name": "欢迎", "text": "你好", **wrong})
    assert answer.status_code == 422
    assert field in answer.json["fields"]
    assert session.scalars(select(WelcomeMessage)).all() == []


def test_a_change_may_not_empty_a_message(api):
    one = made(api)
    assert api.patch(f"{URL}/{one['id']}", json={"text": None}).status_code == 422
    assert api.get(f"{URL}/{one['id']}").json["text"] == "你好{customer}"


def test_there_is_one_default(api):
    first, second = made(api, is_default=True), made(api, is_default=True)
    assert [api.get(f"{URL}/{one['id']}").json["is_default"] for one in (first, second)] == [False, True]


def test_a_message_in_use_is_not_taken_away(api, session):
    one = made(api)
    code = ChannelCode(name="c", state="ch1", staff_ids=[], tag_ids=[], welcome_id=one["id"], contact_type=1)
    session.add(code)
    session.flush()
    answer = api.delete(f"{URL}/{one['id']}")
    assert answer.status_code == 409
    assert str(code.id) in answer.json["detail"]
    code.status = "deleted"
    session.flush()
    assert api.delete(f"{URL}/{one['id']}").status_code == 204


def test_creating_twice_with_one_key_makes_one(api, session):
    for _ in range(2):
        answer = api.post(URL, json={"name": "n", "text": "t"}, headers={"Idempotency-Key": "k1"})
        assert answer.status_code == 201
    assert len(session.scalars(select(WelcomeMessage)).all()) == 1


def test_welcomes_are_listed_by_outcome_within_the_scope(api, api_with, door, message, session):
    message()
    door.comes_in()
    door.comes_in(ago=60)
    door.work()
    sent, missed = (api.get(f"/api/v1/welcomes?outcome={name}").json["items"] for name in ("sent", "missed"))
    assert [one["outcome"] for one in (*sent, *missed)] == ["sent", "missed"]
    assert "expired" in missed[0]["reason"]
    assert 0 <= sent[0]["seconds"] < 20
    with transaction():
        [staff_id] = ensure_staff([door.userid]).values()
        [other_id] = ensure_staff(["other"]).values()
    own, foreign = (
        api_with("welcome:read", staff_ids=[staff_id]),
        api_with("welcome:read", staff_ids=[other_id]),
    )
    assert len(own.get("/api/v1/welcomes").json["items"]) == 2
    assert foreign.get("/api/v1/welcomes").json["items"] == []
    assert "welcome_code" not in str(sent)


@pytest.mark.parametrize("path", ["channel-codes", "welcome-messages", "welcomes"])
def test_reading_needs_its_permission(session, api_with, path):
    assert api_with("groups:read").get(f"/api/v1/{path}").status_code == 403

"""Group codes: made at WeCom, changed there only when the list of groups that take people really changes."""

from datetime import timedelta

import pytest
import requests
from sqlalchemy import update

from scrm.group_entry.jobs import read_pictures
from scrm.group_entry.models import GroupCode
from scrm.group_entry.service.pictures import pictures_due
from scrm.group_entry.views import PICTURES
from scrm.kernel.clock import shifted
from scrm.wecom.models import Effect, EffectState
from scrm.wecom.qr_codes import content_of
from tests.scrm.group_entry.conftest import carry_out

URL = "/api/v1/group-codes"


def test_a_code_is_pending_until_wecom_accepted_it_and_then_has_a_picture(company, api):
    group = company.group(name="福利群")
    body = {"name": "地推", "groups": [{"group_id": group, "cap": 50}], "remark": "深圳"}
    made = api.post(URL, json=body).json
    assert (made["status"], made["config_id"], made["state"]) == ("pending", None, f"gc{made['id']}")
    carry_out()
    accepted = company.show(made["id"])
    assert (accepted["status"], accepted["error"], accepted["effect_id"]) == ("active", None, None)
    way = company.way(accepted)
    assert accepted["qr_code"] == way["qr_code"]
    assert (way["scene"], way["remark"], way["auto_create_room"]) == (2, "深圳", 0)
    assert (way["state"], way["chat_id_list"]) == (made["state"], [company.chat(group)])
    (behind,) = accepted["groups"]
    assert (behind["effective_cap"], behind["members"], behind["takes_people"]) == (50, 1, True)


def test_only_what_wecom_has_to_hear_of_is_sent(company, committed):
    groups = [company.group() for _ in range(7)]
    code = company.code(*groups)
    assert company.way(code)["chat_id_list"] == [company.chat(id_) for id_ in groups[:5]]
    listed = [{"group_id": id_} for id_ in groups]
    for same in (
        {"name": "新名"}, {"cap": 100}, {"tag_ids": []}, {"groups": [*listed[:6], {"group_id": groups[6], "cap": 9}]},
        {"auto_create_room": False, "room_base_name": "群"},
    ):  # fmt: skip
        company.change(code["id"], **same)
    assert company.calls() == {"add_join_way": 1}
    company.change(code["id"], groups=listed[2:])
    assert company.calls() == {"add_join_way": 1, "update_join_way": 1}
    assert company.way(code)["chat_id_list"] == [company.chat(id_) for id_ in groups[2:]]
    assert company.way(code)["state"] == code["state"]


def test_a_change_during_a_call_is_sent_after_it(company, api):
    made = api.post(URL, json={"name": "地推", "groups": [{"group_id": company.group()}]}).json
    for remark in ("一", "二", "三"):
        api.patch(f"{URL}/{made['id']}", json={"remark": remark})
    carry_out()
    carry_out()
    assert company.way(company.show(made["id"]))["remark"] == "三"
    assert company.calls() == {"add_join_way": 1, "update_join_way": 1}


def test_what_wecom_refuses_is_kept_and_may_be_tried_again(company, sandbox):
    sandbox.fault("errcode", api="externalcontact/groupchat/add_join_way", errcode=41045, times=1)
    code = company.code(company.group())
    assert (code["status"], code["error"][:5]) == ("failed", "41045")
    again = company.change(code["id"])
    assert (again["status"], again["error"]) == ("active", None)


def test_an_address_that_was_not_told_is_asked_for_later(company, sandbox):
    sandbox.fault("errcode", api="externalcontact/groupchat/get_join_way", errcode=-1, times=2)
    code = company.code(company.group())
    assert (code["status"], code["qr_code"]) == ("active", None)
    assert pictures_due()
    read_pictures()  # fails once more
    assert not pictures_due()
    assert company.show(code["id"])["qr_error"]
    with shifted(timedelta(minutes=6)):
        read_pictures()
        assert not pictures_due()
    shown = company.show(code["id"])
    assert (shown["qr_code"], shown["qr_error"]) == (company.way(code)["qr_code"], None)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_picture_leads_where_wecoms_leads(company, api, kind):
    code = company.code(company.group())
    url = f"{URL}/{code['id']}/qr.{kind}"
    assert api.get(url).status_code == 409
    read_pictures()
    answer = api.get(f"{url}?size=300")
    assert (answer.status_code, answer.content_type.partition(";")[0]) == (200, PICTURES[kind])
    assert api.get(f"{url}?size=300", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    if kind == "png":
        theirs = requests.get(company.way(code)["qr_code"], timeout=30).content
        assert content_of(answer.data) == content_of(theirs)
    api.delete(f"{URL}/{code['id']}")
    assert api.get(url).status_code == 404


def test_a_picture_that_cannot_be_read_says_why_and_waits(company, committed):
    code = company.code(company.group())
    committed.execute(update(GroupCode).values(qr_code="https://elsewhere.example/p.png"))
    committed.commit()
    read_pictures()
    assert "picture_hosts" in company.show(code["id"])["qr_error"]
    assert not pictures_due()


def test_a_deleted_code_is_gone_at_wecom_and_from_the_list(company, api, sandbox):
    code = company.code(company.group())
    assert api.delete(f"{URL}/{code['id']}").status_code == 204
    carry_out()
    assert sandbox.state_ids("join_way") == []
    assert api.get(URL).json["items"] == []
    (gone,) = api.get(f"{URL}?status=deleted").json["items"]
    assert (gone["id"], gone["config_id"]) == (code["id"], None)
    assert api.delete(f"{URL}/{code['id']}").status_code == 404
    assert api.patch(f"{URL}/{code['id']}", json={}).status_code == 404


def test_a_code_deleted_during_its_first_call_is_deleted_after_it(company, api, sandbox):
    made = api.post(URL, json={"name": "地推", "groups": [{"group_id": company.group()}]}).json
    api.delete(f"{URL}/{made['id']}")
    carry_out()
    carry_out()
    assert sandbox.state_ids("join_way") == []
    assert company.show(made["id"])["status"] == "deleted"


def test_a_call_confirmed_by_hand_without_a_config_id_is_no_working_code(company, api, committed):
    made = api.post(URL, json={"name": "地推", "groups": [{"group_id": company.group()}]}).json
    effect = committed.get(Effect, made["effect_id"])
    effect.state = EffectState.UNKNOWN
    committed.commit()
    api.post(f"/api/v1/effects/{effect.id}/resolve", json={"outcome": "confirmed"})
    shown = company.show(made["id"])
    assert (shown["status"], shown["config_id"], shown["effect_id"]) == ("failed", None, None)
    assert shown["error"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"groups": []}, "groups"),
        ({"groups": [{"group_id": 10**9}]}, "groups.0"),
        ({"tag_ids": [10**9]}, "tag_ids.0"),
        ({"entry_welcome_id": 10**9}, "entry_welcome_id"),
        ({"auto_create_room": True}, "room_base_name"),
        ({"cap": 0}, "cap"),
        ({"remark": "字" * 31}, "remark"),
        ({"room_base_name": "字" * 41}, "room_base_name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_fields_are_named(company, api, values, field):
    body = {"name": "地推", "groups": [{"group_id": company.group()}], **values}
    answer = api.post(URL, json=body)
    assert (answer.status_code, list(answer.json["fields"])) == (422, [field])


def test_a_group_named_twice_or_dismissed_is_refused(company, api, sandbox):
    group = company.group()
    twice = {"name": "地推", "groups": [{"group_id": group}, {"group_id": group}]}
    assert api.post(URL, json=twice).json["fields"] == {"groups.1": f"{group} is named twice"}
    sandbox.dismiss_group(company.chat(group))
    company.read(company.chat(group))
    assert api.post(URL, json={"name": "地推", "groups": [{"group_id": group}]}).status_code == 422


def test_permissions_are_asked_for(company, api_with):
    reader = api_with("group-codes:read")
    assert reader.get(URL).status_code == 200
    assert reader.post(URL, json={}).status_code == 403
    assert api_with("groups:read").get(f"{URL}/overview").status_code == 403

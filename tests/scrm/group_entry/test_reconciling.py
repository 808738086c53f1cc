"""What a sync shows of join ways and templates, compared with ours."""

from datetime import timedelta

import pytest

from scrm.group_entry.jobs import review_codes
from scrm.group_entry.models import EntryWelcome, GroupCode
from scrm.group_entry.service.reconciling import (
    apply_join_ways_seen,
    apply_templates_seen,
    known_config_ids,
    known_template_ids,
)
from scrm.group_entry.service.rotation import review_due
from scrm.kernel.clock import utcnow
from scrm.kernel.counts import Seen
from scrm.kernel.db import transaction
from scrm.wecom.client import wecom
from tests.scrm.group_entry.conftest import carry_out

WAY, TEMPLATE = "externalcontact/groupchat", "externalcontact/group_welcome_template"


def sync_ways(asked_at=None):
    ids = known_config_ids()
    asked_at = asked_at or utcnow()
    seen = [wecom().post(f"{WAY}/get_join_way", {"config_id": id_})["join_way"] for id_ in ids]
    with transaction():
        return apply_join_ways_seen(seen, [], asked_at)


def sync_templates(ids):
    asked_at = utcnow()
    seen = [{"template_id": id_, **wecom().post(f"{TEMPLATE}/get", {"template_id": id_})} for id_ in ids]
    with transaction():
        return apply_templates_seen(seen, [], asked_at)


def test_equal_ways_change_nothing(company, committed):
    company.code(company.group(), remark="r")
    company.code(company.group(), auto_create_room=True, room_base_name="群")
    assert sync_ways() == Seen(seen=2, untouched=2)
    assert not review_due()


def test_what_differs_at_wecom_is_noted_and_set_right_by_the_next_review(company, committed):
    groups = [company.group(), company.group()]
    code = company.code(*groups, remark="ours")
    body = {"config_id": code["config_id"], "scene": 2, "auto_create_room": 0, "state": code["state"]}
    wecom().post(
        f"{WAY}/update_join_way", {**body, "remark": "theirs", "chat_id_list": [company.chat(groups[1])]}
    )
    assert sync_ways() == Seen(seen=1, changed=1)
    carry_out()
    assert company.way(code)["remark"] == "theirs"  # a sync asks WeCom for no change
    assert company.show(code["id"])["drifted_at"]
    assert review_due()
    review_codes()
    carry_out()
    assert (company.way(code)["remark"], len(company.way(code)["chat_id_list"])) == ("ours", 2)
    assert sync_ways() == Seen(seen=1, untouched=1)
    assert not review_due()


def test_a_group_that_wecom_made_is_found_in_its_list(company, committed, sandbox):
    code = company.code(company.group(), auto_create_room=True, room_base_name="群")
    sandbox.set_limits(group_capacity=1)
    (one,) = sandbox.scan_group(config_id=code["config_id"])
    assert sync_ways() == Seen(seen=1, changed=1)
    company.read(one["chat_id"])
    assert [g["source"] for g in company.show(code["id"])["groups"]] == ["chosen", "wecom"]


def test_a_way_that_is_gone_is_said_so_and_made_anew_only_by_a_person(company, committed):
    code = company.code(company.group())
    wecom().post(f"{WAY}/del_join_way", {"config_id": code["config_id"]})
    with transaction():
        assert apply_join_ways_seen([], [code["config_id"]], utcnow()) == Seen(gone=1)
    gone = company.show(code["id"])
    assert (gone["status"], gone["config_id"], gone["qr_code"]) == ("failed", None, None)
    assert not review_due()
    assert known_config_ids() == []
    again = company.change(code["id"])
    assert (again["status"], again["error"]) == ("active", None)


@pytest.mark.parametrize("missing", [True, False])
def test_an_answer_older_than_what_we_know_says_nothing(company, committed, missing):
    before = utcnow() - timedelta(seconds=5)
    code = company.code(company.group())
    seen = [] if missing else [{"config_id": code["config_id"], "remark": "old", "chat_id_list": []}]
    with transaction():
        apply_join_ways_seen(seen, [code["config_id"]] if missing else [], before)
    assert company.show(code["id"])["status"] == "active"
    assert committed.get(GroupCode, code["id"]).drifted_at is None


@pytest.fixture
def template(api, company):
    link = {"msgtype": "link", "link": {"title": "群规", "url": "https://example.com/rules"}}
    made = api.post(
        "/api/v1/entry-welcomes", json={"name": "欢迎", "text": "欢迎 %NICKNAME%", "attachment": link}
    )
    carry_out()
    return api.get(f"/api/v1/entry-welcomes/{made.json['id']}").json


def test_the_drift_of_a_template_is_shown_to_people(api, template, committed):
    url = f"/api/v1/entry-welcomes/{template['id']}"
    assert sync_templates(known_template_ids()) == Seen(seen=1, untouched=1)
    assert api.get(url).json["drift"] is None
    body = {"template_id": template["template_id"], "text": {"content": "别的"}}
    wecom().post(f"{TEMPLATE}/edit", body)
    assert sync_templates(known_template_ids()) == Seen(seen=1, changed=1)
    assert sync_templates(known_template_ids()) == Seen(seen=1, untouched=1)
    assert api.get(url).json["drift"] == ["text", "link"]
    api.patch(url, json={"text": "第三 %NICKNAME%"})
    carry_out()
    assert api.get(url).json["drift"] is None
    sync_templates(known_template_ids())
    assert api.get(url).json["drift"] is None


def test_a_template_that_is_gone_is_said_so(api, template, committed):
    wecom().post(f"{TEMPLATE}/del", {"template_id": template["template_id"]})
    with transaction():
        assert apply_templates_seen([], [template["template_id"]], utcnow()) == Seen(gone=1)
    shown = api.get(f"/api/v1/entry-welcomes/{template['id']}").json
    assert (shown["status"], shown["template_id"]) == ("failed", None)
    assert known_template_ids() == []
    assert committed.get(EntryWelcome, template["id"]).accepted is None

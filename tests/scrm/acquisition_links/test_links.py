"""Links: made at WeCom, changed there only when WeCom has to hear of it; their channels; the secret they need."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from config.settings import App
from scrm.acquisition_links.models import AcquisitionLink
from scrm.kernel import settings as kernel_settings
from scrm.kernel.clock import shifted, utcnow
from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.staff.events import StaffLeft, StaffMerged
from scrm.staff.models import Staff
from scrm.wecom.models import Effect
from tests.scrm.acquisition_links.conftest import URL, carry_out


def test_a_link_is_pending_until_wecom_accepted_it(company, api):
    body = {"name": "投放", "staff_ids": company.staff[:2], "skip_verify": False, "priority_type": 2,
            "priority_staff_ids": company.staff[:1]}  # fmt: skip
    made = api.post(URL, json=body).json
    assert (made["status"], made["link_id"], made["url"]) == ("pending", None, None)
    carry_out()
    accepted = company.show(made["id"])
    assert (accepted["status"], accepted["error"], accepted["effect_id"]) == ("active", None, None)
    assert (accepted["works"], accepted["adopted"], accepted["app"]) == (True, False, "main")
    truth = company.truth(accepted)
    assert (truth["url"], truth["name"], truth["skip_verify"]) == (accepted["url"], "投放", False)
    assert truth["range"] == {"user_list": company.userids[:2], "department_list": []}
    assert truth["priority"] == {"priority_type": 2, "priority_userid_list": company.userids[:1]}


def test_only_what_wecom_has_to_hear_of_is_sent(company, tag):
    link = company.link(staff_ids=company.staff[:2])
    for same in ({"tag_ids": [tag("a")]}, {"staff_ids": company.staff[:2][::-1]}, {"skip_verify": True}):
        company.change(link["id"], **same)
    assert company.calls() == {"create_link": 1}
    company.change(link["id"], staff_ids=company.staff[2:])
    assert company.calls() == {"create_link": 1, "update_link": 1}
    assert company.truth(link)["range"]["user_list"] == company.userids[2:]  # replaced, not added


def test_a_deleted_link_is_gone_at_wecom_and_its_figures_stay(company, api, sandbox):
    link = company.link()
    assert api.delete(f"{URL}/{link['id']}").status_code == 204
    carry_out()
    assert sandbox.state_ids("acquisition_link") == []
    assert api.get(URL).json["items"] == []
    assert api.get(f"{URL}?status=deleted").json["items"][0]["id"] == link["id"]
    assert api.get(f"{URL}/{link['id']}/statistics").status_code == 200
    assert api.delete(f"{URL}/{link['id']}").status_code == 404


def test_what_wecom_refuses_is_kept_and_may_be_tried_again(company, sandbox):
    sandbox.fault("errcode", api="externalcontact/customer_acquisition/create_link", errcode=41095, times=1)
    link = company.link()
    assert (link["status"], link["error"][:5]) == ("failed", "41095")
    again = company.change(link["id"])
    assert (again["status"], again["error"]) == ("active", None)


def test_the_systems_secret_is_told_apart(company, sandbox):
    sandbox.fault("errcode", api="externalcontact/customer_acquisition/create_link", errcode=48002, times=1)
    assert "系统 secret" in company.link()["error"]


def test_without_an_app_for_it_nothing_is_planned(company, api, app, settings, committed):
    link = company.link()
    without = {
        name: App.model_validate({**one.model_dump(), "features": ("externalcontact", "contacts", "message")})
        for name, one in settings.apps.items()
    }
    app.extensions[kernel_settings.EXTENSION] = settings.model_copy(update={"apps": without})
    try:
        for answer in (
            api.post(URL, json={"name": "x", "staff_ids": company.staff[:1]}),
            api.patch(f"{URL}/{link['id']}", json={"name": "y"}),
            api.post(f"{URL}/read"),
        ):
            assert (answer.status_code, "acquisition_links" in answer.json["detail"]) == (409, True)
    finally:
        app.extensions[kernel_settings.EXTENSION] = settings
    assert len(committed.scalars(select(Effect)).all()) == 1


def test_a_lost_answer_is_found_among_wecoms_links(company, sandbox, api):
    company.link(name="投放")
    sandbox.fault("truncate", api="externalcontact/customer_acquisition/create_link")
    made = api.post(URL, json={"name": "投放", "staff_ids": company.staff[:1]}).json
    carry_out()
    with shifted(timedelta(minutes=1)):
        carry_out()
    assert company.show(made["id"])["status"] == "active"
    assert len(sandbox.state_ids("acquisition_link")) == 2
    assert company.calls() == {"create_link": 2}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"staff_ids": []}, "staff_ids"),
        ({"staff_ids": [10**9]}, "staff_ids.0"),
        ({"department_ids": [10**9]}, "department_ids.0"),
        ({"tag_ids": [10**9]}, "tag_ids.0"),
        ({"priority_staff_ids": [1]}, "priority_staff_ids.0"),
        ({"priority_type": 3}, "priority_type"),
        ({"name": ""}, "name"),
    ],
)
def test_wrong_fields_are_named(company, api, values, field):
    body = {"name": "投放", "staff_ids": company.staff[1:2], **values}
    if field == "priority_staff_ids.0":
        body["priority_staff_ids"] = [10**9]
    answer = api.post(URL, json=body)
    assert (answer.status_code, list(answer.json["fields"])) == (422, [field])


def test_a_priority_list_needs_its_kind_and_cannot_be_taken_back(company, api):
    body = {"name": "投放", "staff_ids": company.staff, "priority_staff_ids": company.staff[:1]}
    assert list(api.post(URL, json=body).json["fields"]) == ["priority_type"]
    link = company.link(priority_type=1)
    answer = api.patch(f"{URL}/{link['id']}", json={"priority_type": None})
    assert list(answer.json["fields"]) == ["priority_type"]


def test_a_range_of_more_than_500_people_is_refused_before_any_call(company, api, committed):
    committed.add_all([Staff(userid=f"many{n}") for n in range(501)])
    committed.commit()
    ids = list(committed.scalars(select(Staff.id).where(Staff.userid.like("many%"))))
    answer = api.post(URL, json={"name": "投放", "staff_ids": ids})
    assert (answer.status_code, "staff_ids" in answer.json["fields"]) == (422, True)
    assert api.post(URL, json={"name": "投放", "staff_ids": ids[:500]}).status_code == 201


def test_members_who_leave_are_left_out_and_those_who_merge_renamed(company, committed):
    link = company.link(staff_ids=company.staff[:2])
    committed.get(Staff, company.staff[0]).left_at = utcnow()
    committed.commit()
    with transaction():
        publish(StaffLeft((company.staff[0],)))
    carry_out()
    assert company.truth(link)["range"]["user_list"] == company.userids[1:2]
    assert company.show(link["id"])["staff_ids"] == company.staff[:2]  # they may come back
    with transaction():
        publish(StaffMerged(kept_id=company.staff[2], gone_id=company.staff[1]))
    committed.expire_all()
    assert committed.get(AcquisitionLink, link["id"]).staff_ids == [company.staff[0], company.staff[2]]


def test_a_channel_has_an_address_of_its_own(company, api):
    link = company.link()
    made = company.channel(link)
    assert made["state"] == f"al{made['id']}"
    assert made["url"] == f"{link['url']}?customer_channel={made['state']}"
    own = company.channel(link, state="微信/朋友圈 &1")
    assert own["url"].endswith("customer_channel=%E5%BE%AE%E4%BF%A1%2F%E6%9C%8B%E5%8F%8B%E5%9C%88%20%261")
    (told,) = company.sandbox.visit_link(url=own["url"])
    assert told["added"]
    assert company._state(told) == "微信/朋友圈 &1"
    assert company.calls() == {"create_link": 1}  # WeCom knows no channels
    api.patch(f"/api/v1/link-channels/{made['id']}", json={"archived": True, "name": "旧"})
    listed = api.get(f"{URL}/{link['id']}/channels?archived=false").json["items"]
    assert [row["id"] for row in listed] == [own["id"]]
    assert api.get(f"/api/v1/link-channels/{made['id']}").json["name"] == "旧"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"state": "x" * 65}, "state"),
        ({"state": ""}, "state"),
        ({"welcome_id": 10**9}, "welcome_id"),
        ({"tag_ids": [10**9]}, "tag_ids.0"),
    ],
)
def test_wrong_channels_are_named(company, api, values, field):
    link = company.link()
    answer = api.post(f"{URL}/{link['id']}/channels", json={"name": "抖音", **values})
    assert (answer.status_code, list(answer.json["fields"])) == (422, [field])


def test_a_state_is_used_once(company, api):
    link = company.link()
    company.channel(link, state="ad_1")
    answer = api.post(f"{URL}/{link['id']}/channels", json={"name": "x", "state": "ad_1"})
    assert (answer.status_code, list(answer.json["fields"])) == (422, ["state"])


def test_permissions_are_asked_for(company, api_with):
    reader = api_with("acquisition-links:read")
    for path in ("", "/quota", "/readings", "/overview", "/events"):
        assert reader.get(f"{URL}{path}").status_code == 200
    assert reader.post(URL, json={}).status_code == 403
    assert reader.post(f"{URL}/read").status_code == 403

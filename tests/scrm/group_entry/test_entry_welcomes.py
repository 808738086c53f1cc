"""Entry welcomes: templates at WeCom, and owners who attach them to their groups."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from scrm.alerts.models import AlertEntry
from scrm.group_entry.models import EntryWelcome
from scrm.kernel.clock import shifted
from scrm.wecom.models import Effect
from tests.scrm.group_entry.conftest import carry_out

URL = "/api/v1/entry-welcomes"
LINK = {"msgtype": "link", "link": {"title": "群规", "url": "https://example.com/rules"}}


@pytest.fixture
def welcome(api, company):
    """Makes an entry welcome that WeCom accepted."""

    def make(**values):
        answer = api.post(URL, json={"name": "欢迎", "text": "欢迎 %NICKNAME%", **values})
        assert answer.status_code == 201, answer.json
        carry_out()
        return api.get(f"{URL}/{answer.json['id']}").json

    return make


def told(session):
    """(userid, key family) of who was asked to attach something."""
    session.expire_all()
    rows = session.execute(
        text(
            "SELECT s.userid FROM alerts a JOIN staff s ON s.id = a.receiver_id WHERE a.kind = 'entry_welcome'"
        )
    )
    return [row.userid for row in rows]


def test_a_template_is_made_and_changed_at_wecom(api, sandbox, welcome):
    made = welcome(attachment=LINK, notify=False)
    assert (made["status"], made["error"], made["app"]) == ("active", None, "main")
    truth = sandbox.state("welcome_template", made["template_id"])
    assert truth["notify"] is False
    api.patch(f"{URL}/{made['id']}", json={"name": "新名"})
    carry_out()
    assert "externalcontact/group_welcome_template/edit" not in sandbox.log_counts()
    api.patch(f"{URL}/{made['id']}", json={"text": "你好 %NICKNAME%", "attachment": None})
    carry_out()
    (edit,) = sandbox.log(api="externalcontact/group_welcome_template/edit")
    assert edit["body"] == {"template_id": made["template_id"], "text": {"content": "你好 %NICKNAME%"}}


def test_a_deleted_template_is_gone_at_wecom_with_its_groups(api, company, sandbox, welcome):
    made, group = welcome(), company.group()
    api.put(f"{URL}/{made['id']}/groups", json={"group_ids": [group]})
    assert api.delete(f"{URL}/{made['id']}").status_code == 204
    carry_out()
    assert sandbox.state_ids("welcome_template") == []
    assert api.get(URL).json["items"] == []
    assert api.get("/api/v1/entry-welcome-groups").json["items"] == []
    assert api.patch(f"{URL}/{made['id']}", json={}).status_code == 404


def test_what_wecom_refuses_is_kept_and_may_be_tried_again(api, sandbox, welcome):
    sandbox.set_limits(welcome_templates=0)
    made = welcome()
    assert (made["status"], made["error"][:5]) == ("failed", "41055")
    sandbox.set_limits(welcome_templates=100)
    api.patch(f"{URL}/{made['id']}", json={})
    carry_out()
    assert api.get(f"{URL}/{made['id']}").json["status"] == "active"


def test_only_a_hundred_are_taken(api, committed, company):
    committed.add_all([EntryWelcome(name=f"w{n}", text="x", version=1) for n in range(100)])
    committed.commit()
    answer = api.post(URL, json={"name": "欢迎", "text": "x"})
    assert (answer.status_code, "41055" in answer.json["detail"]) == (409, True)


def test_a_lost_answer_confirmed_by_hand_is_no_template_we_could_manage(api, committed, sandbox, welcome):
    sandbox.fault("truncate", api="externalcontact/group_welcome_template/add")
    made = welcome()
    effect = committed.get(Effect, made["effect_id"], populate_existing=True)
    assert effect.state == "unknown"
    with shifted(timedelta(minutes=1)):
        carry_out()  # nobody can be asked
        api.post(f"/api/v1/effects/{effect.id}/resolve", json={"outcome": "confirmed"})
    shown = api.get(f"{URL}/{made['id']}").json
    assert (shown["status"], shown["template_id"], shown["effect_id"]) == ("failed", None, None)
    assert "by hand" in shown["error"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"text": None}, "text"),
        ({"text": "  "}, "text"),
        ({"text": "字" * 1001}, "text"),
        ({"attachment": {"msgtype": "link"}}, "attachment.link"),
        ({"attachment": {"msgtype": "sticker"}}, "attachment.msgtype"),
    ],
)
def test_wrong_fields_are_named(api, company, values, field):
    answer = api.post(URL, json={"name": "欢迎", "text": "x", **values})
    assert (answer.status_code, list(answer.json["fields"])) == (422, [field])


def test_owners_are_asked_once_to_attach_it_and_the_list_shows_who_still_waits(
    api, company, committed, welcome
):
    made = welcome()
    groups = [company.group(0), company.group(0), company.group(1)]
    url = f"{URL}/{made['id']}/groups"
    for _ in range(2):
        assert api.put(url, json={"group_ids": groups}).status_code == 204
    assert sorted(told(committed)) == sorted([company.userids[0]] * 2 + [company.userids[1]])
    assert api.patch(f"{url}/{groups[0]}", json={}).status_code == 204
    waiting = api.get(f"/api/v1/entry-welcome-groups?waiting=true&entry_welcome_id={made['id']}").json[
        "items"
    ]
    assert {row["group_id"] for row in waiting} == set(groups[1:])
    owners = api.get("/api/v1/entry-welcome-groups/owners").json["items"]
    assert {row["owner_userid"]: row["waiting"] for row in owners} == dict.fromkeys(company.userids, 1)
    shown = api.get(f"{URL}/{made['id']}").json
    assert (shown["groups"], shown["waiting"]) == (3, 2)
    (done,) = api.get("/api/v1/entry-welcome-groups?waiting=false").json["items"]
    assert (done["group_id"], done["attached_by"][:6]) == (groups[0], "apikey")
    api.patch(f"{url}/{groups[0]}", json={"attached": False})
    assert len(api.get("/api/v1/entry-welcome-groups?waiting=true").json["items"]) == 3
    assert api.patch(f"{url}/{10**9}", json={}).status_code == 404


def test_owners_are_asked_only_when_wecom_has_the_template(api, company, committed):
    made = api.post(URL, json={"name": "欢迎", "text": "x"}).json
    api.put(f"{URL}/{made['id']}/groups", json={"group_ids": [company_group := company.group()]})
    assert company_group
    carry_out()
    assert told(committed) == [company.userids[0]]


def test_a_new_owner_is_asked_anew_unless_it_is_done(api, company, committed, sandbox, welcome):
    made, groups = welcome(), [company.group(0), company.group(0)]
    api.put(f"{URL}/{made['id']}/groups", json={"group_ids": groups})
    api.patch(f"{URL}/{made['id']}/groups/{groups[1]}", json={})
    for group in groups:
        sandbox.own_group(company.chat(group), company.userids[1])
    company.read(*map(company.chat, groups))
    assert sorted(told(committed)) == sorted([company.userids[0]] * 2 + [company.userids[1]])


def test_groups_of_a_code_get_its_template_without_losing_their_own(api, company, committed, welcome):
    first, second = welcome(name="一"), welcome(name="二")
    groups = [company.group(), company.group()]
    api.put(f"{URL}/{first['id']}/groups", json={"group_ids": groups[:1]})
    code = company.code(*groups)
    company.change(code["id"], entry_welcome_id=second["id"])
    rows = api.get("/api/v1/entry-welcome-groups").json["items"]
    assert {row["group_id"]: row["entry_welcome_id"] for row in rows} == {
        groups[0]: first["id"],
        groups[1]: second["id"],
    }
    company.change(code["id"], groups=[{"group_id": id_} for id_ in [*groups, company.group()]])
    assert len(api.get("/api/v1/entry-welcome-groups").json["items"]) == 3
    answer = api.delete(f"{URL}/{second['id']}")
    assert (answer.status_code, f"group codes {code['id']}" in answer.json["detail"]) == (409, True)


def test_a_limited_key_sees_its_own_groups_only(api, api_with, company, committed, welcome):
    made, groups = welcome(), [company.group(0), company.group(1)]
    api.put(f"{URL}/{made['id']}/groups", json={"group_ids": groups})
    owner = committed.scalar(
        text("SELECT owner_staff_id FROM customer_groups WHERE id = :id"), {"id": groups[0]}
    )
    own = api_with("welcome:read", staff_ids=[owner])
    assert [row["group_id"] for row in own.get("/api/v1/entry-welcome-groups").json["items"]] == groups[:1]
    assert own.put(f"{URL}/{made['id']}/groups", json={"group_ids": []}).status_code == 403
    assert committed.scalars(select(AlertEntry.kind).distinct()).all() == ["entry_welcome"]

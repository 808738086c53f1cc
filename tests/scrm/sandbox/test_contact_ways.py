from __future__ import annotations

import pytest


def code(answer):
    return answer["errcode"]


def add(wecom, **more):
    return wecom.contact("add_contact_way", **({"type": 1, "scene": 2, "user": ["staff0001"]} | more))


def test_a_qr_way_gives_an_address_and_a_button_gives_none(wecom, corp):
    way = add(wecom)
    assert way["qr_code"].endswith(f"/qr/{way['config_id']}")
    button = add(wecom, scene=1, style=2)
    assert "qr_code" not in button
    assert len(button["config_id"]) == 32


def test_get_returns_what_was_set_with_the_defaults(wecom, corp):
    config_id = add(wecom, remark="door", state="ch1")["config_id"]
    found = wecom.contact("get_contact_way", config_id=config_id)["contact_way"]
    assert (found["remark"], found["state"], found["skip_verify"], found["is_temp"]) == (
        "door",
        "ch1",
        True,
        False,
    )
    assert (found["type"], found["scene"], found["user"], found["party"]) == (1, 2, ["staff0001"], [])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"type": None}, 41037),
        ({"scene": None}, 41038),
        ({"type": 3}, 41039),
        ({"scene": 9}, 41040),
        ({"scene": 1, "style": 7}, 41042),
        ({"remark": "x" * 31}, 40058),
        ({"state": "x" * 31}, 40058),
        ({"user": []}, 40031),
        ({"user": ["staff0001", "staff0002"]}, 40031),
        ({"type": 2, "user": [], "party": []}, 40031),
        ({"type": 2, "user": [], "party": [99]}, 60003),
        ({"user": ["nobody"]}, 40003),
        ({"skip_verify": "yes"}, 40058),
    ],
)
def test_add_refuses_what_wecom_refuses(wecom, corp, changes, expected):
    assert code(add(wecom, **changes)) == expected


def test_members_must_be_activated_and_have_the_feature(wecom, corp, control):
    control.staff_behaviour(["staff0001"], status=4)
    assert code(add(wecom)) == 41054
    control.staff_behaviour(["staff0001"], status=1, contact_feature=False)
    assert code(add(wecom)) == 84074


def test_departments_expand_to_at_most_a_hundred_people(wecom, corp, control):
    control.set_limits(contact_way_people=2)
    assert code(add(wecom, type=2, user=[], party=corp["departments"])) == 41041
    assert code(add(wecom, type=2, user=["staff0001"], party=[])) == 0


def test_a_parent_department_brings_everybody_below_it(wecom, corp, control):
    config_id = add(wecom, type=2, user=[], party=[1])["config_id"]
    assert sorted(control.state("contact_way", config_id)["people"]) == sorted(corp["members"])


def test_the_quota_is_41045(wecom, corp, control):
    control.set_limits(contact_ways=1)
    assert code(add(wecom)) == 0
    assert code(add(wecom)) == 41045


def test_list_pages_over_lasting_ways_only(wecom, corp, control):
    made = [add(wecom)["config_id"] for _ in range(3)]
    add(wecom, is_temp=True)
    first = wecom.contact("list_contact_way", limit=2)
    rest = wecom.contact("list_contact_way", limit=2, cursor=first["next_cursor"])
    assert [item["config_id"] for item in first["contact_way"] + rest["contact_way"]] == made
    assert "next_cursor" not in rest
    assert wecom.contact("list_contact_way", start_time=1, end_time=2)["contact_way"] == []
    assert code(wecom.contact("list_contact_way", cursor="zz")) == 50100


def test_update_replaces_the_given_fields_and_delete_forgets(wecom, corp, control):
    config_id = add(wecom, state="a", remark="r")["config_id"]
    changes = {"state": "b", "user": ["staff0002"], "skip_verify": False}
    assert code(wecom.contact("update_contact_way", config_id=config_id, **changes)) == 0
    found = wecom.contact("get_contact_way", config_id=config_id)["contact_way"]
    assert (found["state"], found["user"], found["skip_verify"], found["remark"]) == (
        "b",
        ["staff0002"],
        False,
        "r",
    )
    assert code(wecom.contact("update_contact_way", config_id=config_id, state="x" * 31)) == 40058
    assert code(wecom.contact("del_contact_way", config_id=config_id)) == 0
    for path in ("get_contact_way", "update_contact_way", "del_contact_way"):
        assert code(wecom.contact(path, config_id=config_id)) == 41044
        assert code(wecom.contact(path)) == 41043


def test_scanning_brings_somebody_to_one_of_the_members_with_the_state(wecom, corp, control):
    config_id = add(wecom, type=2, user=["staff0001", "staff0002"], state="fair")["config_id"]
    people = control.scan(config_id=config_id, count=20)
    assert {item["userid"] for item in people} == {"staff0001", "staff0002"}
    follow = control.state("customer", people[0]["external_userid"])["follows"][0]
    assert (follow["state"], follow["half"]) == ("fair", False)
    assert control.scan(state="fair", name="Zoe")[0]["name"] == "Zoe"


def test_a_temporary_code_dies_after_one_add(wecom, corp, control):
    config_id = add(wecom, is_temp=True)["config_id"]
    control.scan(config_id=config_id)
    assert code(wecom.contact("get_contact_way", config_id=config_id)) == 41044

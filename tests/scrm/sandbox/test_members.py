from __future__ import annotations


def code(answer):
    return answer["errcode"]


def test_user_get_returns_the_fields_without_the_sensitive_ones(wecom, corp):
    found = wecom.get("user/get", userid="STAFF0001")
    assert (found["userid"], found["status"], found["main_department"]) == (
        "staff0001",
        1,
        found["department"][0],
    )
    assert not {"mobile", "email", "avatar", "gender"} & set(found)


def test_user_get_refuses_unknown_and_missing_userids(wecom, corp, as_app):
    assert code(wecom.get("user/get", userid="nobody")) == 60111
    assert code(wecom.get("user/get")) == 41009
    assert code(as_app("scoped").get("user/get", userid="staff0002")) == 60011


def test_member_lists_hold_direct_members_of_the_department(wecom, corp):
    for department in corp["departments"]:
        simple = wecom.get("user/simplelist", department_id=department)["userlist"]
        full = wecom.get("user/list", department_id=department)["userlist"]
        assert [item["userid"] for item in simple] == [item["userid"] for item in full]
        assert all(department in item["department"] for item in simple)
        assert set(simple[0]) == {"userid", "name", "department"}


def test_member_lists_refuse_bad_departments(wecom, corp):
    assert code(wecom.get("user/simplelist")) == 40058
    assert code(wecom.get("user/simplelist", department_id="x")) == 40058
    assert code(wecom.get("user/list", department_id=99)) == 60003


def test_list_id_pages_over_member_and_department(wecom, corp):
    first = wecom.post("user/list_id", limit=3)
    rest = wecom.post("user/list_id", limit=3, cursor=first["next_cursor"])
    people = [item["userid"] for item in first["dept_user"] + rest["dept_user"]]
    assert people == corp["members"]
    assert rest["next_cursor"] == ""
    assert code(wecom.post("user/list_id", cursor="rubbish")) == 50100


def test_departments_are_listed_recursively(wecom, control, corp):
    child = control.create_department("Team A", corp["departments"][0])
    everything = wecom.get("department/list")["department"]
    assert {item["id"] for item in everything} == {1, child, *corp["departments"]}
    below = wecom.get("department/simplelist", id=corp["departments"][0])["department_id"]
    assert [item["id"] for item in below] == [corp["departments"][0], child]
    assert wecom.get("department/get", id=child)["department"]["parentid"] == corp["departments"][0]
    assert code(wecom.get("department/list", id=999)) == 60003


def test_an_app_sees_only_its_visible_range(as_app, corp):
    scoped = as_app("scoped")
    assert scoped.get("externalcontact/get_follow_user_list")["follow_user"] == ["staff0001"]
    assert [item["userid"] for item in scoped.post("user/list_id")["dept_user"]] == ["staff0001"]


def test_members_joining_and_leaving_call_back(inbox, control, wecom):
    control.create_staff("new.one", "Nora")
    control.delete_staff("new.one")
    assert control.wait_callbacks()
    changes = sorted((event["ChangeType"], event["UserID"]) for event in inbox.events())
    assert changes == [("create_user", "new.one"), ("delete_user", "new.one")]
    assert code(wecom.get("user/get", userid="new.one")) == 60111

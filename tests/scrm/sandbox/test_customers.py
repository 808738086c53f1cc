from __future__ import annotations


def code(answer):
    return answer["errcode"]


def test_follow_users_are_members_with_the_feature(wecom, corp, control):
    control.staff_behaviour(["staff0002"], contact_feature=False)
    found = wecom.get("externalcontact/get_follow_user_list")["follow_user"]
    assert found == [userid for userid in corp["members"] if userid != "staff0002"]


def test_list_gives_a_members_customers(wecom, friend, control):
    userid, external = friend
    assert external in wecom.get("externalcontact/list", userid=userid)["external_userid"]


def test_list_refuses_strangers_and_people_out_of_range(wecom, corp, control, as_app):
    assert code(wecom.get("externalcontact/list")) == 41009
    assert code(wecom.get("externalcontact/list", userid="nobody")) == 40003
    assert code(as_app("scoped").get("externalcontact/list", userid="staff0002")) == 60021
    control.staff_behaviour(["staff0002"], contact_feature=False)
    assert code(wecom.get("externalcontact/list", userid="staff0002")) == 84074


def test_a_member_without_customers_is_84061_or_an_empty_list(wecom, control):
    control.create_staff("lonely", "L")
    assert code(wecom.get("externalcontact/list", userid="lonely")) == 84061
    control.set_limits(empty_list_is_84061=False)
    assert wecom.get("externalcontact/list", userid="lonely")["external_userid"] == []


def test_get_shows_the_customer_and_every_follower(wecom, control, corp):
    tag = control.state_ids("tag")[0]
    person = control.add("staff0001", name="Ann", unionid="oUann", state="ch1", add_way=3)[0]
    external = person["external_userid"]
    control.add("staff0002", external_userid=external)
    control.edit("staff0001", external, tags=[tag], own_tags=["mine"], corp_name="ACME", mobiles=["138"])
    found = wecom.get("externalcontact/get", external_userid=external)
    assert found["external_contact"]["name"] == "Ann"
    assert found["external_contact"]["unionid"] == "oUann"
    first, second = found["follow_user"]
    assert (first["userid"], first["state"], first["add_way"]) == ("staff0001", "ch1", 3)
    assert [(item["type"], item.get("tag_id")) for item in first["tags"]] == [(1, tag), (2, None)]
    assert (first["remark_corp_name"], first["remark_mobiles"]) == ("ACME", ["138"])
    assert "state" not in second


def test_get_of_a_wecom_user_has_a_company_and_no_unionid(wecom, control, corp):
    person = control.add("staff0001", name="Bob", type=2, corp_name="Other Ltd")[0]
    found = wecom.get("externalcontact/get", external_userid=person["external_userid"])["external_contact"]
    assert person["external_userid"].startswith("wo")
    assert (found["type"], found["corp_name"]) == (2, "Other Ltd")
    assert "unionid" not in found


def test_get_pages_over_many_followers(wecom, control, corp):
    control.set_limits(follower_page=2)
    external = control.add("staff0001")[0]["external_userid"]
    for userid in corp["members"][1:]:
        control.add(userid, external_userid=external)
    seen, cursor = [], None
    while True:
        page = wecom.get(
            "externalcontact/get", external_userid=external, **({"cursor": cursor} if cursor else {})
        )
        seen += [item["userid"] for item in page["follow_user"]]
        cursor = page.get("next_cursor")
        if not cursor:
            break
    assert seen == corp["members"]
    assert code(wecom.get("externalcontact/get", external_userid=external, cursor="zz")) == 50100


def test_get_refuses_unknown_customers_and_those_nobody_in_range_follows(wecom, control, corp, as_app):
    assert code(wecom.get("externalcontact/get")) == 41035
    assert code(wecom.get("externalcontact/get", external_userid="wmnobody")) == 40096
    external = control.add("staff0002")[0]["external_userid"]
    assert code(as_app("scoped").get("externalcontact/get", external_userid=external)) == 84061
    control.delete_contact("staff0002", external)
    assert code(wecom.get("externalcontact/get", external_userid=external)) == 84061


def test_a_customer_who_deleted_the_member_still_answers(wecom, control, friend):
    userid, external = friend
    control.delete_follow(userid, external)
    assert code(wecom.get("externalcontact/get", external_userid=external)) == 0
    assert code(wecom.contact("remark", userid=userid, external_userid=external, remark="r")) == 0


def test_a_half_added_customer_is_84061(wecom, control, corp):
    external = control.add("staff0001", half="half")[0]["external_userid"]
    assert code(wecom.get("externalcontact/get", external_userid=external)) == 84061
    assert code(wecom.contact("remark", userid="staff0001", external_userid=external, remark="r")) == 84061
    assert external not in wecom.get("externalcontact/list", userid="staff0001")["external_userid"]


def test_batch_get_by_user_pages_and_repeats_a_shared_customer(wecom, control, corp):
    shared = control.add("staff0001")[0]["external_userid"]
    control.add("staff0002", external_userid=shared)
    rows, cursor = [], ""
    while True:
        page = wecom.contact(
            "batch/get_by_user", userid_list=["staff0001", "staff0002"], limit=3, cursor=cursor
        )
        rows += page["external_contact_list"]
        assert len(page["external_contact_list"]) <= 3
        cursor = page["next_cursor"]
        if not cursor:
            break
    pairs = [(row["follow_info"]["userid"], row["external_contact"]["external_userid"]) for row in rows]
    assert len(pairs) == len(set(pairs)) == 10
    assert {userid for userid, external in pairs if external == shared} == {"staff0001", "staff0002"}
    assert "tag_id" in rows[0]["follow_info"]
    assert "tags" not in rows[0]["follow_info"]


def test_batch_get_by_user_clips_the_page_and_checks_its_input(wecom, control, corp):
    control.add("staff0001", count=110)
    page = wecom.contact("batch/get_by_user", userid_list=["staff0001"], limit=1000)
    assert len(page["external_contact_list"]) == 100
    assert len(wecom.contact("batch/get_by_user", userid_list=["staff0001"])["external_contact_list"]) == 50
    assert code(wecom.contact("batch/get_by_user")) == 40063
    assert code(wecom.contact("batch/get_by_user", userid_list=["x"] * 101)) == 40032
    assert code(wecom.contact("batch/get_by_user", userid_list=["staff0001"], cursor="zz")) == 50100
    assert code(wecom.contact("batch/get_by_user", userid_list="staff0001")) == 40058


def test_remark_overwrites_the_given_fields_only(wecom, control, friend):
    userid, external = friend
    who = {"userid": userid, "external_userid": external}
    assert code(wecom.contact("remark", **who, remark="R", description="D", remark_company="C")) == 0
    assert code(wecom.contact("remark", **who, remark_mobiles=["138", "139"])) == 0
    follow = control.state("customer", external)["follows"][0]
    assert (follow["remark"], follow["description"], follow["corp_name"]) == ("R", "D", "C")
    assert follow["mobiles"] == ["138", "139"]
    wecom.contact("remark", **who, remark_mobiles=[""])
    assert control.state("customer", external)["follows"][0]["mobiles"] == []


def test_remark_checks_lengths_and_presence(wecom, friend):
    userid, external = friend
    who = {"userid": userid, "external_userid": external}
    assert code(wecom.contact("remark", **who)) == 40063
    assert code(wecom.contact("remark", **who, remark="x" * 21)) == 40058
    assert code(wecom.contact("remark", **who, description="x" * 151)) == 40058
    assert code(wecom.contact("remark", **who, remark_company="x" * 21)) == 40058
    assert code(wecom.contact("remark", **who, remark_pic_mediaid="none")) == 40007
    assert code(wecom.contact("remark", external_userid=external, remark="x")) == 41009
    assert code(wecom.contact("remark", userid=userid, remark="x")) == 41035


def test_the_company_of_a_wecom_user_cannot_be_remarked(wecom, control, corp):
    external = control.add("staff0001", type=2)[0]["external_userid"]
    wecom.contact("remark", userid="staff0001", external_userid=external, remark_company="C")
    assert control.state("customer", external)["follows"][0]["corp_name"] == ""


def test_api_writes_call_nobody_back(wecom, control, friend, inbox):
    userid, external = friend
    wecom.contact("remark", userid=userid, external_userid=external, remark="R")
    assert control.wait_callbacks()
    assert inbox.events() == []

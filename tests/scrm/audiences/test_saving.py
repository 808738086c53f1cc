"""Audiences are saved, changed, put away and deleted; what is wrong or used is refused by name."""

import pytest

from tests.scrm.audiences.conftest import call, members, named, within


def problem(api, path, body, method="post"):
    """(field, what is wrong) of a 422."""
    [(field, told)] = call(api, method, path, body, 422)["fields"].items()
    return field, told


def test_a_saved_condition_reads_back_as_a_sentence(api, tree):
    shown = call(api, "get", f"/audiences/{tree('王', named('王'))}")
    assert shown["words"] == {"zh": "昵称等于「王」", "en": "name is 「王」"}
    assert (shown["kind"], shown["version"], shown["used_by"]) == ("tree", 1, [])
    assert shown["condition"]["schema_version"] == 2


def test_the_list_is_narrowed_by_kind_name_and_archive(api, tree, listing):
    one, other = tree("一百%", named("a")), listing("二百")
    call(api, "post", f"/audiences/{other}/archive")

    def listed(query):
        return [each["id"] for each in call(api, "get", f"/audiences?{query}")["items"]]

    assert listed("") == [other, one]
    assert listed("kind=tree") == [one]
    assert listed("archived=true") == [other]
    assert listed("archived=false&q=%25") == [one]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "condition"),
        ({"name": "x", "kind": "static", "condition": named("a")}, "condition"),
        ({"name": "x", "condition": {"kind": "nonsense"}}, "condition.kind"),
        ({"name": "x", "condition": {"all": [within(99)]}}, "condition.all.0.audience_ids.0"),
        ({"name": " x", "condition": named("a")}, "name"),
        ({"name": "x", "condition": named("a"), "members": []}, "members"),
    ],
)
def test_what_is_wrong_is_named(api, world, body, field):
    assert problem(api, "/audiences", body)[0] == field
    assert call(api, "get", "/audiences")["items"] == []


def test_a_name_belongs_to_one_audience_until_that_is_deleted(api, tree):
    first, second = tree("新客", named("a")), tree("老客", named("b"))
    call(api, "post", "/audiences", {"name": "新客", "condition": named("a")}, 409)
    call(api, "patch", f"/audiences/{second}", {"name": "新客"}, 409)
    call(api, "delete", f"/audiences/{first}", status=204)
    call(api, "patch", f"/audiences/{second}", {"name": "新客"})


def test_history_says_who_changed_what_and_what_the_condition_said(api, tree):
    id_ = tree("新客", named("a"))
    call(api, "patch", f"/audiences/{id_}", {"name": "客", "condition": named("b"), "description": "d"})
    call(api, "patch", f"/audiences/{id_}", {"name": "客"})  # nothing new
    call(api, "post", f"/audiences/{id_}/archive")
    call(api, "delete", f"/audiences/{id_}", status=204)
    lines = call(api, "get", f"/audiences/{id_}/history")["items"]
    assert [sorted(each["changes"]) for each in lines] == [
        ["deleted"], ["archived"], ["condition", "description", "name"], ["created"],
    ]  # fmt: skip
    assert lines[2]["changes"]["name"] == ["新客", "客"]
    assert [each["en"] for each in lines[2]["words"]] == ["name is 「a」", "name is 「b」"]
    assert (lines[2]["version"], lines[3]["version"]) == (2, 1)
    assert lines[2]["by"].startswith("apikey:")


def test_a_change_made_from_an_old_version_is_refused(api, tree):
    id_ = tree("新客", named("a"))
    call(api, "patch", f"/audiences/{id_}", {"condition": named("b")}, **{"If-Match": "1"})
    call(api, "patch", f"/audiences/{id_}", {"condition": named("c")}, 409, **{"If-Match": "1"})
    call(api, "patch", f"/audiences/{id_}", {"condition": named("c")}, **{"If-Match": '"2"'})


def test_audiences_never_contain_each_other_and_the_way_round_is_told(api, tree):
    first = tree("甲", named("a"))
    second = tree("乙", {"any": [named("b"), within(first)]})
    third = tree("丙", within(second))
    field, told = problem(
        api, f"/audiences/{first}", {"condition": {"all": [named("a"), within(third)]}}, "patch"
    )
    assert field == "condition.all.1.audience_ids.0"
    ring = [(first, "甲"), (third, "丙"), (second, "乙"), (first, "甲")]
    assert told == "audiences would contain each other: " + " → ".join(f"audience {i} ({n})" for i, n in ring)
    assert (
        problem(api, f"/audiences/{first}", {"condition": within(first)}, "patch")[0]
        == "condition.audience_ids.0"
    )


def test_audiences_are_nested_five_deep_and_no_deeper_also_from_below(api, tree):
    ids = [tree("0", named("a"))]
    for level in range(1, 5):
        ids.append(tree(str(level), within(ids[-1])))
    field, told = problem(api, "/audiences", {"name": "5", "condition": within(ids[-1])})
    assert (field, "6 audiences inside each other" in told) == ("condition.audience_ids.0", True)
    low = tree("low", named("a"))
    assert "6 audiences" in problem(api, f"/audiences/{ids[0]}", {"condition": within(low)}, "patch")[1]


def test_audiences_inside_audiences_may_not_multiply_without_end(api, tree):
    many = {"any": [named(str(i)) for i in range(99)]}
    first = tree("1", many)
    second = tree("2", {"any": [within(first), within(first)]})
    third = {"any": [within(second), within(first)]}
    assert "at most 300" in problem(api, "/audiences", {"name": "3", "condition": third})[1]
    larger = {
        "any": [*many["any"][1:], within(tree("4", many))]
    }  # too large for the one that contains it twice
    told = problem(api, f"/audiences/{first}", {"condition": larger}, "patch")[1]
    assert f"audience {second} (2) would have 403 nodes" in told


def test_what_is_used_is_neither_deleted_nor_put_away(api, tree, world):
    inner = tree("内", named("a"))
    outer = tree("外", within(inner))
    tag = world.tag()
    rule = call(
        api, "post", "/rules", {"name": "规", "condition": within(outer), "add_tag_ids": [tag.id]}, 201
    )["id"]
    used = [{"kind": "audience", "id": outer, "name": "外"}, {"kind": "rule", "id": rule, "name": "规"}]
    assert call(api, "get", f"/audiences/{inner}")["used_by"] == used
    for method, path in (("delete", f"/audiences/{inner}"), ("post", f"/audiences/{inner}/archive")):
        refused = call(api, method, path, status=409)
        assert refused["code"] == "audience-in-use"
        assert f"audience {outer} (外), rule {rule} (规)" in refused["detail"]
    call(api, "delete", f"/rules/{rule}", status=204)
    call(api, "delete", f"/audiences/{outer}", status=204)
    call(api, "delete", f"/audiences/{inner}", status=204)
    call(api, "get", f"/audiences/{inner}", status=404)


def test_an_archived_audience_still_answers_and_nothing_new_may_name_it(api, tree, world):
    id_ = tree("旧", named("a"))
    customer = world.customer(name="a")
    call(api, "post", f"/audiences/{id_}/archive")
    assert members(api, id_) == {customer.id}
    field, told = problem(api, "/audiences", {"name": "x", "condition": within(id_)})
    assert (field, "is archived" in told) == ("condition.audience_ids.0", True)
    call(api, "post", f"/audiences/{id_}/restore")
    call(api, "post", "/audiences", {"name": "x", "condition": within(id_)}, 201)


def test_an_archived_audience_holds_what_it_names_until_its_condition_changes(api, tree):
    inner = tree("内", named("a"))
    outer = tree("外", within(inner))
    call(api, "post", f"/audiences/{outer}/archive")
    for method, path in (("delete", f"/audiences/{inner}"), ("post", f"/audiences/{inner}/archive")):
        assert call(api, method, path, status=409)["code"] == "audience-in-use"
    call(api, "patch", f"/audiences/{outer}", {"condition": named("b")})
    call(api, "delete", f"/audiences/{inner}", status=204)


def test_reading_needs_one_permission_and_changing_another(api_with, tree):
    id_ = tree("新客", named("a"))
    reader = api_with("audiences:read")
    call(reader, "get", f"/audiences/{id_}/count")
    for method, path in [
        ("post", "/audiences"),
        ("patch", f"/audiences/{id_}"),
        ("delete", f"/audiences/{id_}"),
    ]:
        call(reader, method, path, {"name": "x"} if method != "delete" else None, 403)
    call(api_with("rules:read"), "get", "/audiences", status=403)

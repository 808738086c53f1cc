"""A whole deployment and the callbacks the sandbox makes by itself: doubled and out of order, the end is WeCom's truth."""

import pytest

from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.fault]


@pytest.fixture(scope="module")
def told():
    """A deployment after a lively day in the corp; every callback may come twice and late."""
    with Stack() as stack:
        control = stack.control
        members = control.population(members=3, departments=2, customers=6)["members"]
        stack.wait_drained()
        control.fault("duplicate", times=None, copies=2)
        control.fault("delay", times=None, probability=0.4, seconds=1.5)
        yield stack, *day(control, members)


def day(control, members):
    """Members come, go and change; departments move; tags are shuffled; groups live."""
    sales = control.create_department("销售")
    east = control.create_department("华东", parentid=sales)
    control.create_staff("new01", "新人", departments=[east], leader_in=[east])
    control.update_staff("new01", position="主管")
    control.update_staff("new01", new_userid="xinren")
    control.create_staff("brief", "过客", department=sales)
    control.delete_staff("brief")
    control.create_staff("brief", "过客回来", department=sales)
    control.delete_staff(members[2])
    control.update_department(east, parentid=1, name="华东区")
    empty = control.create_department("空")
    control.delete_department(empty)
    tags = control.create_tags("等级", ["A", "B", "C"])
    control.edit_tag(tags["tags"]["A"], name="A+")
    control.shuffle_tags(tags["group_id"])
    control.shuffle_tags()
    control.strategy_tag("create")
    control.change_member_tag(control.create_member_tag("成员标签"), add_users=[members[0]])
    people = [person["external_userid"] for person in control.add(members[0], count=3)]
    chat = control.create_group(members[0], people[:1], name="群")["chat_id"]
    control.join_group(chat, people[1:])
    control.leave_group(chat, people[:1], removed=True)
    control.rename_group(chat, "新群名")
    control.own_group(chat, members[1])
    gone = control.create_group(members[0], people, name="散")["chat_id"]
    control.dismiss_group(gone)
    return {
        "chat": chat,
        "gone": gone,
        "east": east,
        "empty": empty,
        "members": members,
        "tags": tags,
    }, people


def settled(stack, question, expected, *values):
    found = []

    def same():
        found[:] = stack.sql(question, *values)
        return sorted(found) == sorted(expected)

    wait_until(same, 60, lambda: f"{question}: {found}, not {expected}")


def test_every_callback_was_handled_or_says_why_not(told):
    stack = told[0]
    stack.control.wait_callbacks(30)
    stack.wait_drained()
    ignored = stack.sql(
        "SELECT event, change_type, reason FROM callback_inbox WHERE state = 'ignored' ORDER BY 1, 2"
    )
    assert set(ignored) == {
        ("change_external_tag", "create", "rule_group_tag"),
        ("change_contact", "update_tag", "member_tag"),
    }
    assert stack.sql("SELECT count(*) FROM callback_inbox WHERE state IN ('failed', 'dead')") == [(0,)]
    changes = dict(
        stack.sql(
            "SELECT change_type, count(*) FROM callback_inbox WHERE event = 'change_contact' GROUP BY 1"
        )
    )
    assert {
        "create_user",
        "update_user",
        "delete_user",
        "create_party",
        "update_party",
        "delete_party",
    } <= changes.keys()


def test_members_and_departments_are_as_at_wecom(told):
    stack, made, _ = told
    gone = made["members"][2]
    settled(
        stack,
        "SELECT userid, name, left_at IS NULL FROM staff WHERE userid IN ('new01', 'xinren', 'brief')",
        [("xinren", "新人", True), ("brief", "过客回来", True)],
    )
    settled(
        stack, "SELECT userid FROM staff WHERE left_at IS NOT NULL AND userid NOT LIKE '%%#%%'", [(gone,)]
    )
    settled(stack, "SELECT name, parent_id FROM departments WHERE id = %s", [("华东区", 1)], made["east"])
    settled(stack, "SELECT deleted_at IS NOT NULL FROM departments WHERE id = %s", [(True,)], made["empty"])
    settled(
        stack,
        """SELECT s.userid, d.is_leader, s.position FROM staff_departments d JOIN staff s ON s.id = d.staff_id
        WHERE d.department_id = %s""",
        [("xinren", True, "主管")],
        made["east"],
    )


def test_groups_and_tags_are_as_at_wecom(told):
    stack, made, people = told
    owner = made["members"][1]
    settled(
        stack,
        """SELECT g.name, g.status, s.userid FROM customer_groups g JOIN staff s ON s.id = g.owner_staff_id
        WHERE chat_id = %s""",
        [("新群名", "normal", owner)],
        made["chat"],
    )
    truth = stack.control.state("group", made["chat"])["members"]
    settled(
        stack,
        """SELECT member_id FROM group_stays t JOIN customer_groups g ON g.id = t.group_id
        WHERE chat_id = %s AND left_at IS NULL""",
        [(member,) for member in truth],
        made["chat"],
    )
    assert people[0] not in truth
    settled(stack, "SELECT status FROM customer_groups WHERE chat_id = %s", [("dismissed",)], made["gone"])
    ids = list(made["tags"]["tags"].values())
    settled(
        stack,
        "SELECT name FROM tags WHERE deleted_at IS NULL AND wecom_id = ANY(%s)",
        [("A+",), ("B",), ("C",)],
        ids,
    )

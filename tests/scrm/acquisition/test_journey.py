"""One code from scan to midnight: add, tags, remark, welcome by slot, cap, backup, and the next day."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from scrm.acquisition.jobs import keep_codes_current, set_remarks
from scrm.acquisition.models import ChannelAdd, Welcome
from scrm.acquisition.service.remark_rules import filled, remarks_due
from scrm.customers.jobs import _refresh_round  # its job takes a lock on a connection of its own
from scrm.customers.models import Customer, Follow
from scrm.customers.service.recording import Add, record_adds
from scrm.kernel import clock
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff
from scrm.wecom.jobs import carry_out_background, carry_out_events, carry_out_urgent
from tags.jobs import push_assignments
from tags.models import Tag, TagGroup

URL = "/api/v1/channel-codes"
EVERY_DAY = list(range(1, 8))


def work():
    """Whatever the workers would do next."""
    for job in (_refresh_round, keep_codes_current, set_remarks, push_assignments):
        job()
    for job in (carry_out_urgent, carry_out_events, carry_out_background):
        job()


@pytest.fixture
def staff(door):
    with transaction():
        return list(ensure_staff(door.sandbox.state_ids("member")).values())


@pytest.fixture
def tag(door, session):
    wecom_id = door.sandbox.create_tags("来源", ["展会"])["tags"]["展会"]
    group = TagGroup(wecom_id="etgroup", name="来源")
    session.add(group)
    session.flush()
    made = Tag(wecom_id=wecom_id, group_id=group.id, name="展会")
    session.add(made)
    session.commit()
    return made


@pytest.fixture
def code(api, staff):
    def make(**values):
        made = api.post(URL, json={"name": "展会", "staff_ids": staff[:1], **values})
        assert made.status_code == 201, made.json
        work()
        return api.get(f"{URL}/{made.json['id']}").json

    return make


def remark_of(sandbox, name):
    """The remark that the member sees on the person of this name."""
    people = [sandbox.state("customer", id_) for id_ in sandbox.state_ids("customer")]
    [person] = [one for one in people if one["name"] == name]
    [follow] = person["follows"]
    return follow["remark"]


def test_from_scan_to_the_next_day(api, code, door, noon, staff, tag, message, sandbox, session):
    day, night = message(text="午安{customer}", is_default=False), message(text="晚上好", is_default=False)
    slots = [
        {"weekdays": EVERY_DAY, "begin": "09:00", "end": "18:00", "welcome_id": day.id},
        {"weekdays": EVERY_DAY, "begin": "18:00", "end": "09:00", "welcome_id": night.id},
    ]
    made = code(
        tag_ids=[tag.id], welcome_slots=slots, remark_rule="{name}-{code}-{date}", daily_cap=2,
        backup_staff_ids=[staff[1]],
    )  # fmt: skip
    first, second = (door.scans(made["config_id"], name=name) for name in ("张三", "李四"))
    door.work()
    work()
    assert [door.delivered(one)["text"] for one in (first, second)] == ["午安张三", "午安李四"]
    [a, b] = [mark["body"]["add_tag"] for mark in sandbox.log("externalcontact/mark_tag")]
    assert a == b == [tag.wecom_id]
    assert remark_of(sandbox, "张三") == f"张三-展会-{noon:%m%d}"
    shown = api.get(f"{URL}/{made['id']}").json
    assert (shown["on_duty"], shown["adds"]) == ([staff[1]], 2)
    third = door.scans(made["config_id"], name="王五")
    assert session.get(Follow, third.follow_id).staff_id == staff[1]
    with clock.shifted(timedelta(hours=12, minutes=1)):
        work()
        shown = api.get(f"{URL}/{made['id']}").json
    assert (shown["on_duty"], shown["duty_reason"]) == (staff[:1], "usual")


def test_a_remark_waits_for_the_full_add_and_is_set_once(code, door, session, sandbox, noon):
    made = code(remark_rule="{name}/{staff}")
    [told] = sandbox.scan(config_id=made["config_id"], half="half", name="张三")
    pair = (told["userid"], told["external_userid"])
    with transaction():
        [follow_id] = record_adds([Add(*pair, noon, True, made["state"])]).values()
    work()
    assert not remarks_due()
    sandbox.add(pair[0], external_userid=pair[1], state=made["state"])
    with transaction():
        record_adds([Add(*pair, noon + timedelta(seconds=30), False, made["state"])])
    with clock.shifted(timedelta(seconds=40)):
        for _ in range(3):
            work()
    [call] = sandbox.log("externalcontact/remark", everything=True)
    assert call["body"]["remark"].startswith("张三/")
    assert session.get(Follow, follow_id, populate_existing=True).remark == call["body"]["remark"]


def test_a_remark_that_a_person_wrote_stays(code, door, session, sandbox):
    made = code(remark_rule="{name}-{code}")
    [told] = sandbox.scan(config_id=made["config_id"], half="full", name="张三")
    sandbox.edit(told["userid"], told["external_userid"], remark="老张，常客")
    door.callback(told, made["state"], clock.utcnow())
    work()
    assert sandbox.log("externalcontact/remark", everything=True) == []
    assert session.scalars(select(ChannelAdd.remark_state)).all() == ["kept"]


@pytest.mark.parametrize(
    ("rule", "remark"),
    [
        ("{name}-{code}", "张三-展会"),
        ("{name}{name}", "张三张三"),
        ("一" * 15 + "{name}{code}", "一" * 15 + "张三展会"),
        ("一" * 17 + "{name}{code}", "一" * 17 + "张三展"),
        ("{code}{date}", "展会1118"),
        ("常量", "常量"),
    ],
)
def test_a_remark_has_twenty_characters_and_keeps_its_own_words(rule, remark):
    told = filled(rule, {"name": "张三", "code": "展会", "date": "1118", "staff": "小王"})
    assert told == remark
    assert len(told) <= 20


@pytest.mark.parametrize("name", ["{code}", "$1\\", "a" * 300, "{name}"])
def test_names_are_never_read_as_templates(name):
    told = filled("{name}!", {"name": name, "code": "x"})
    assert told == f"{name[:19]}!"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{nmae}", "belongs to no variable"),
        ("一" * 20 + "{name}", "no room"),
        ("a}", "belongs to no variable"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(api, staff, rule, problem):
    answer = api.post(URL, json={"name": "n", "staff_ids": staff[:1], "remark_rule": rule})
    assert answer.status_code == 422
    assert problem in answer.json["fields"]["remark_rule"]


def outcome(session):
    session.expire_all()
    return [tuple(row) for row in session.execute(select(Welcome.outcome, Welcome.channel_code_id))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ＶＩＰ广告君", "suppressed"), ("加微信领红包", "suppressed"), ("小广告", "sent"), ("张三", "sent")],
)
def test_who_is_called_like_that_is_not_welcomed(code, door, message, session, name, expected):
    message(text="欢迎")
    made = code(blocked_names=["vip", "加*红包", ".*"])
    newcomer = door.scans(made["config_id"], name=name)
    door.work()
    assert outcome(session) == [(expected, made["id"])]
    assert (door.delivered(newcomer) is None) == (expected == "suppressed")


def test_a_name_that_cannot_be_had_blocks_nobody(code, door, message, session):
    message(text="欢迎")
    made = code(blocked_names=["张"])
    door.sandbox.fault("errcode", errcode=-1, api="externalcontact/get", times=None)
    door.scans(made["config_id"], name="张三")
    door.work()
    assert outcome(session) == [("sent", made["id"])]


def test_a_name_known_already_is_not_asked_for_to_block_it(code, door, message, session):
    message(text="欢迎")
    made = code(blocked_names=["张"])
    newcomer = door.scans(made["config_id"], name="张三")
    door.work()
    with transaction():
        session.execute(update(Customer).values(name="张三"))
    before = len(door.sandbox.log("externalcontact/get"))
    door.lose(newcomer, clock.utcnow())
    [told] = door.sandbox.add(door.userid, name="李四", state=made["state"])
    session.add(Customer(external_userid=told["external_userid"], name="张六"))
    session.commit()
    door.callback(told, made["state"], clock.utcnow())
    door.work()
    assert outcome(session) == [("suppressed", made["id"])] * 2
    assert len(door.sandbox.log("externalcontact/get")) == before

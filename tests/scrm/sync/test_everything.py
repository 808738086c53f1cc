"""A full sync: ours becomes what WeCom shows, and a second one writes nothing."""

from sqlalchemy import select, text

from scrm.conversations.models import KfAccount, KfServicer
from scrm.groups.models import CustomerGroup, GroupStay
from scrm.kernel.clock import from_epoch
from scrm.staff.models import Department, Staff, StaffDepartment
from scrm.sync import jobs, queries
from scrm.sync.models import SyncMember
from tags.models import Tag
from tests.scrm.sync.conftest import (
    begin,
    counts,
    finish,
    later_sync,
    living,
    relations,
    sync,
    truth,
    versions,
)


def test_a_first_sync_brings_everything(corp, committed):
    run = sync()
    assert run.state == "done"
    assert living(committed) == truth(corp)
    assert {name: row["seen"] for name, row in run.counts.items()} == {
        name: row["new"] for name, row in run.counts.items()
    }
    assert set(committed.scalars(select(Staff.userid))) == set(corp.state_ids("member"))
    assert all(committed.scalars(select(Department.name)))
    assert set(committed.scalars(select(Tag.wecom_id))) == set(corp.state_ids("tag"))
    assert committed.scalars(select(KfAccount.open_kfid)).all() == corp.state_ids("kf_account")
    assert len(committed.scalars(select(KfServicer.staff_id)).all()) == 3


def test_a_second_sync_with_nothing_changed_writes_no_row(corp, committed):
    sync()
    before = versions(committed)
    run = sync()
    assert versions(committed) == before
    assert counts(run) == {}
    assert run.counts["follows"]["seen"] == len(truth(corp))


def test_every_kind_of_change_is_found_and_only_what_differs_is_written(corp, committed):
    sync()
    before = relations(committed)
    (who, userid), *others = sorted(before)
    tag = corp.state_ids("tag")[0]
    corp.edit(userid, who, remark="老客户", description="d", mobiles=["13900000000"], tags=[tag])
    newcomer = corp.add(userid, name="新人", state="door")[0]["external_userid"]
    run = later_sync()
    assert living(committed) == truth(corp)
    after = relations(committed)
    changed = {key for key in others if after[key][1].updated_at != before[key][1].updated_at}
    assert changed == set()
    assert (newcomer, userid) in after
    assert counts(run)["follows"] == (1, 1, 0)
    assert counts(run)["customers"] == (1, 0, 0)
    assert run.counts["follows"]["fields"] == {"remark": 1, "description": 1, "remark_mobiles": 1}


def test_groups_become_what_wecom_shows(corp, committed):
    sync()
    first, second = corp.state_ids("group")
    owner, other = corp.state("group", first)["owner"], corp.state_ids("member")[3]
    people = [p["external_userid"] for p in corp.add(owner, count=2)]
    corp.join_group(first, people, state="gate")
    inside = [m for m in corp.state("group", first)["members"] if m not in people]
    corp.leave_group(first, [inside[-1]])
    corp.rename_group(first, "新名")
    corp.own_group(first, other)
    corp.dismiss_group(second)
    run = later_sync()
    group = committed.scalars(select(CustomerGroup).where(CustomerGroup.chat_id == first)).one()
    assert (group.name, committed.get(Staff, group.owner_staff_id).userid) == ("新名", other)
    present = select(GroupStay).where(GroupStay.group_id == group.id, GroupStay.left_at.is_(None))
    stays = committed.scalars(present).all()
    assert {(s.member_id, s.joined_at) for s in stays} == {
        (who, from_epoch(m["join_time"])) for who, m in corp.state("group", first)["members"].items()
    }
    assert {s.state for s in stays if s.member_id in people} == {"gate"}
    assert all(s.customer_id for s in stays if s.member_id in people)
    gone = committed.scalars(select(CustomerGroup).where(CustomerGroup.chat_id == second)).one()
    assert gone.status == "dismissed"
    assert run.counts["groups"]["gone"] == 1
    before = versions(committed)
    later_sync()
    assert versions(committed) == before


def test_a_group_that_no_list_shows_and_that_is_not_called_dissolved_is_kept(corp, committed):
    sync()
    chat_id = corp.state_ids("group")[0]
    owner = corp.state("group", chat_id)["owner"]
    corp.change_app("main", visible=[u for u in corp.state_ids("member") if u != owner])
    later_sync()
    group = committed.scalars(select(CustomerGroup).where(CustomerGroup.chat_id == chat_id)).one()
    assert group.status == "normal"
    corp.change_app("main", visible=None)


def test_groups_are_listed_by_owner_where_too_many_people_are_visible(corp, committed):
    corp.set_limits(unscoped_group_people=1)
    run = sync()
    assert run.counts["groups"]["new"] == 2
    assert {c["body"].get("owner_filter") is None for c in corp.log("externalcontact/groupchat/list")} == {
        False
    }


def test_staff_is_compared(corp, committed):
    sync(entities=["staff"])
    gone, moved, kept, other = sorted(corp.state_ids("member"))
    corp.delete_staff(gone)
    department = corp.create_department("新部门")
    corp.update_staff(moved, department=department)
    with_new = corp.create_staff("fresh01", "新同事")
    run = later_sync(entities=["staff"])
    assert with_new
    staff = {row.userid: row for row in committed.scalars(select(Staff))}
    assert [userid for userid, row in staff.items() if row.left_at] == [gone]
    assert staff["fresh01"].name == "新同事"
    departments = committed.scalars(
        select(StaffDepartment.department_id).where(StaffDepartment.staff_id == staff[moved].id)
    ).all()
    assert departments == [department]
    assert counts(run)["members"] == (1, 1, 1)
    assert not staff[gone].follows_customers
    assert staff[kept].left_at is staff[other].left_at is None


def test_a_secret_that_may_read_ids_only_brings_ids_and_keeps_what_is_known(corp, committed):
    sync(entities=["staff"])
    names = dict(committed.execute(select(Staff.userid, Staff.name)).all())
    for api in ("user/list", "user/simplelist", "department/get"):
        corp.fault("errcode", api=api, errcode=48009, times=None)
    corp.create_staff("fresh01", "新同事")
    run = later_sync(entities=["staff"])
    assert run.state == "done"
    after = dict(committed.execute(select(Staff.userid, Staff.name)).all())
    assert after == {**names, "fresh01": None}
    assert committed.scalars(select(Staff.left_at).where(Staff.left_at.is_not(None))).all() == []


def test_tags_are_compared_and_missing_ones_go_at_the_end(corp, committed):
    sync(entities=["tags"])
    gone, renamed, *_ = corp.state_ids("tag")
    corp.delete_tag(gone)
    corp.edit_tag(renamed, name="改名")
    corp.create_tags("新组", ["甲", "乙"])
    run = later_sync(entities=["tags"])
    living_tags = dict(
        committed.execute(select(Tag.wecom_id, Tag.name).where(Tag.deleted_at.is_(None))).all()
    )
    assert gone not in living_tags
    assert living_tags[renamed] == "改名"
    assert set(living_tags) == set(corp.state_ids("tag"))
    assert run.counts["tags"]["gone"] == 1
    assert (
        committed.scalar(text("SELECT count(*) FROM tag_pulls")) == 3
    )  # the report of tag lists stays quiet else


def test_customer_service_accounts_and_servicers_are_compared(corp, committed):
    sync(entities=["kf"])
    (account,) = corp.state_ids("kf_account")
    corp.delete_kf_account(account)
    run = later_sync(entities=["kf"])
    row = committed.scalars(select(KfAccount)).one()
    # an empty list is what an app without the right sees: it is not believed
    assert (row.removed_at, run.counts["kf_accounts"]["gone"]) == (None, 0)


def test_members_who_begin_to_serve_bring_their_customers_and_nobody_else_is_read(corp, committed):
    sync()
    corp.create_staff("fresh01", "新同事")
    corp.add("fresh01", count=3)
    sync(entities=["staff"])
    assert queries.new_members() == ["fresh01"]
    assert queries.new_members_due()
    since = corp.log("externalcontact/batch/get_by_user")[-1]["seq"]
    jobs.read_new_members()
    run = finish(queries.newest_run().id)
    assert (run.members, run.state) == (["fresh01"], "done")
    assert sum(1 for _, userid in relations(committed) if userid == "fresh01") == 3
    asked = [
        call["body"]["userid_list"] for call in corp.log("externalcontact/batch/get_by_user", since=since)
    ]
    assert {userid for users in asked for userid in users} == {"fresh01"}
    assert not queries.new_members_due()


def test_a_sync_reads_only_what_it_was_asked_for(corp, committed):
    run = sync(entities=["tags"])
    assert set(run.counts) == {"tags"}
    assert set(corp.log_counts()) == {"gettoken", "externalcontact/get_corp_tag_list"}


def test_the_nightly_sync_begins_by_itself_unless_one_is_at_work(corp, committed):
    jobs.start_nightly()
    first = queries.newest_run()
    assert (first.kind, first.state) == ("nightly", "reading")
    jobs.start_nightly()
    assert queries.newest_run().id == first.id
    assert queries.work_is_due()
    finish(first.id)
    assert not queries.work_is_due()
    assert committed.scalars(select(SyncMember.staff_id)).all()


def test_small_members_share_pages(corp, committed):
    finish(begin(entities=["customers"]))
    calls = len(corp.log("externalcontact/batch/get_by_user"))
    assert calls == 1  # four members with ten customers each


def test_whom_the_app_no_longer_sees_has_not_left(corp, committed):
    sync(entities=["staff"])
    seen = min(corp.state_ids("member"))
    corp.change_app("main", visible=[seen])
    run = later_sync(entities=["staff"])
    assert committed.scalars(select(Staff.left_at).where(Staff.left_at.isnot(None))).all() == []
    assert counts(run).get("members", (0, 0, 0))[2] == 0

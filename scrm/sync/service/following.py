"""Which pieces of work a run begins with, and which follow once a list is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from scrm.acquisition.service import adoption
from scrm.customers.queries import customer_counts
from scrm.group_entry.service import reconciling
from scrm.groups.models import CustomerGroup, GroupStatus
from scrm.kernel.db import session
from scrm.staff.models import Staff
from scrm.sync.models import SyncPart, SyncRun
from scrm.sync.service import staging
from scrm.sync.service.pages import NewPart, chunks

CHOICES = ("staff", "tags", "customers", "groups", "contact_ways", "join_ways", "group_templates", "kf")
"""What ``scrm sync --only`` takes."""
OWNERS = 100  # groupchat/list takes at most this many (section 4.7)
MEMBERS_MAX = 100  # batch/get_by_user takes at most this many (wecom-api.md section 4.1)
CHUNK_ROWS = (1000, 5000)  # customers read in one part, least and most, as far as known
CHUNKS = 32  # parts to aim for in between, so that several workers have some each
GUESS_ROWS = 200  # of a member whose customers were never read
DEPARTMENTS, GROUPS, WAYS, ACCOUNTS = 20, 25, 50, 50  # asked one by one in one part


def first_parts(run: SyncRun) -> list[NewPart]:
    """What a run begins with."""
    if run.members:
        return _of_members(run)
    wanted = set(run.entities)
    parts = [NewPart("departments")] if "staff" in wanted else []
    if wanted & {"staff", "customers", "groups"}:
        parts.append(NewPart("follow_users"))
    parts += [NewPart("tags")] if "tags" in wanted else []
    parts += [NewPart("contact_way_list")] if "contact_ways" in wanted else []
    if "join_ways" in wanted:
        parts += [NewPart("join_ways", some) for some in chunks(reconciling.known_config_ids(), WAYS)]
    if "group_templates" in wanted:
        parts += [NewPart("group_templates", some) for some in chunks(reconciling.known_template_ids(), WAYS)]
    return parts + ([NewPart("kf_accounts")] if "kf" in wanted else [])


def _of_members(run: SyncRun) -> list[NewPart]:
    parts = _customer_parts(run.members) if "customers" in run.entities else []
    if "groups" in run.entities:
        parts += [NewPart("group_list", some) for some in chunks(run.members, OWNERS)]
    return parts


def _customer_parts(userids: Sequence[str]) -> list[NewPart]:
    return [NewPart("customers", some) for some in member_chunks(userids, customer_counts(list(userids)))]


def member_chunks(userids: Sequence[str], counts: Mapping[str, int]) -> list[list[str]]:
    """Members whose customers are read together, so that pages are full although members are small.

    :param counts: customers of each member as far as we know
    """
    expected = sum(counts.get(userid, GUESS_ROWS) for userid in userids)
    most = max(CHUNK_ROWS[0], min(CHUNK_ROWS[1], expected // CHUNKS))
    made: list[list[str]] = []
    rows = 0
    for userid in sorted(userids):
        more = counts.get(userid, GUESS_ROWS)
        if not made or rows + more > most or len(made[-1]) == MEMBERS_MAX:
            made.append([])
            rows = 0
        made[-1].append(userid)
        rows += more
    return made


def of_departments(run: SyncRun, part: SyncPart) -> list[NewPart]:
    """Members, by department where this secret may read them, else their ids only."""
    readable = staging.items_of_part(part.id, "members_readable")
    if readable and readable[0].body["by"] == "ids":
        return [NewPart("member_ids")]
    ids = [item.key for item in staging.items_of_part(part.id, "departments")]
    return [NewPart("members", some) for some in chunks(ids, DEPARTMENTS)]


def of_follow_users(run: SyncRun, part: SyncPart) -> list[NewPart]:
    """Their customers, and the groups of everybody."""
    userids = [item.key for item in staging.items_of_part(part.id, "follow_users")]
    parts = _customer_parts(userids) if "customers" in run.entities else []
    return parts + ([NewPart("group_list")] if "groups" in run.entities else [])


def of_group_list(run: SyncRun, part: SyncPart) -> list[NewPart]:
    """The groups that were listed; the list by owners where WeCom wants them named."""
    if staging.items_of_part(part.id, "groups_by_owner"):
        return [NewPart("group_list", some) for some in chunks(_owners(run), OWNERS)]
    ids = {item.key for item in staging.items_of_part(part.id, "group_ids")}
    return [NewPart("groups", some) for some in chunks(sorted(ids), GROUPS)]


def _owners(run: SyncRun) -> list[str]:
    """Who may own groups: members who serve customers, and owners we know, who may have left."""
    known = (
        select(Staff.userid)
        .join(CustomerGroup, CustomerGroup.owner_staff_id == Staff.id)
        .where(CustomerGroup.status == GroupStatus.NORMAL, Staff.userid.notlike("%#%"))
    )
    listed = {item.key for item in staging.items_of(run.id, "follow_users")}
    return sorted(listed | set(session().scalars(known)))


def of_way_list(run: SyncRun, part: SyncPart) -> list[NewPart]:
    """The contact ways that were listed, and ours: the list leaves old and temporary ones out."""
    listed = {item.key for item in staging.items_of_part(part.id, "contact_way_ids")}
    return [
        NewPart("contact_ways", some)
        for some in chunks(sorted(listed | set(adoption.known_config_ids())), WAYS)
    ]


def of_accounts(run: SyncRun, part: SyncPart) -> list[NewPart]:
    """Who serves in these accounts."""
    ids = [item.key for item in staging.items_of_part(part.id, "kf_accounts")]
    return [NewPart("kf_servicers", some) for some in chunks(ids, ACCOUNTS)]

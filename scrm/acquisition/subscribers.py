"""What acquisition does when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.acquisition import jobs
from scrm.acquisition.events import ChecksDue, NameWanted, PicturesDue, RemarksDue
from scrm.acquisition.service import arrivals, keeping, members, pushing, remark_rules, welcome_outcomes
from scrm.customers.events import ContactRecorded, FollowChanged
from scrm.kernel.events import publish, subscribe
from scrm.staff.events import (
    DepartmentsMoved,
    FollowUsersFound,
    FollowUsersLost,
    StaffDepartmentsChanged,
    StaffLeft,
    StaffMerged,
    StaffReturned,
)
from scrm.wecom.events import EffectSettled


@subscribe(ContactRecorded)
def count_adds(events: Sequence[ContactRecorded]) -> None:
    """Who comes through a channel code is counted and gets its tags; who is lost is counted too."""
    arrivals.note_facts(events)


@subscribe(FollowChanged)
def serve_late_known(events: Sequence[FollowChanged]) -> None:
    """Through which code somebody came, and what they are called, may become known only when details are fetched."""
    follows = [event.follow_id for event in events]
    arrivals.note_states(follows)
    if remark_rules.wait_for_remarks(follows):
        publish(RemarksDue())


@subscribe(NameWanted)
def ask_names(events: Sequence[NameWanted]) -> None:
    """Welcomes wait for a name."""
    jobs.plan_nameless_welcomes.wake()


@subscribe(ChecksDue)
def check_codes(events: Sequence[ChecksDue]) -> None:
    """Other members may have to serve."""
    jobs.keep_codes_current.wake()


@subscribe(RemarksDue)
def set_remarks(events: Sequence[RemarksDue]) -> None:
    """Newcomers get the remark of their code."""
    jobs.set_remarks.wake()


@subscribe(PicturesDue)
def read_pictures(events: Sequence[PicturesDue]) -> None:
    """WeCom made new QR codes."""
    jobs.read_pictures.wake()


@subscribe(EffectSettled)
def settle_calls(events: Sequence[EffectSettled]) -> None:
    """WeCom took or refused a channel code or a welcome."""
    codes = [event.effect_id for event in events if event.kind in pushing.KINDS]
    welcomes = [event.effect_id for event in events if event.kind == welcome_outcomes.KIND]
    if codes:
        pushing.settle(codes)
    if welcomes:
        welcome_outcomes.settle(welcomes)


@subscribe(StaffMerged)
def rename_members(events: Sequence[StaffMerged]) -> None:
    """A member turned out to be one we knew by another userid."""
    members.move_staff({event.gone_id: event.kept_id for event in events})


@subscribe(StaffLeft)
def fall_out(events: Sequence[StaffLeft]) -> None:
    """Who left takes no newcomers."""
    _check(events)


@subscribe(StaffReturned)
def come_back(events: Sequence[StaffReturned]) -> None:
    """Who is back takes newcomers again."""
    _check(events)


@subscribe(FollowUsersLost)
def lose_feature(events: Sequence[FollowUsersLost]) -> None:
    """WeCom refuses contact ways that name a member without the feature."""
    _check(events)


@subscribe(FollowUsersFound)
def gain_feature(events: Sequence[FollowUsersFound]) -> None:
    """Members of departments begin to serve."""
    _check(events, departments=True)


@subscribe(StaffDepartmentsChanged)
def change_departments(events: Sequence[StaffDepartmentsChanged]) -> None:
    """Codes of departments have other members."""
    _check((), departments=True)


@subscribe(DepartmentsMoved)
def move_departments(events: Sequence[DepartmentsMoved]) -> None:
    """Codes of departments have other members."""
    _check((), departments=True)


def _check(
    events: Sequence[StaffLeft | StaffReturned | FollowUsersLost | FollowUsersFound],
    *,
    departments: bool = False,
) -> None:
    ids = {id_ for event in events for id_ in event.staff_ids}
    if keeping.have_checked(ids, departments=departments or bool(events)):
        publish(ChecksDue())

"""What it means that a tag group comes to be told to WeCom, or no longer: how many relations, calls and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select

from scrm.customers.models import Follow, FollowStatus
from scrm.kernel.db import session
from tags.arrays import is_one_of
from tags.models import AssignmentState, Push, TagAssignment
from tags.sync.queries import calls_take

HELD = (AssignmentState.ACTIVE, AssignmentState.PENDING_ADD)
REACHABLE = (FollowStatus.ACTIVE, FollowStatus.DELETED_BY_CUSTOMER)


@dataclass(frozen=True)
class SwitchPlan:
    """What a switch would do.

    :param at_wecom: keep or delete, of a switch to local
    :param tags: of the group
    :param relations: that hold one of them now
    :param reachable: of them, those that WeCom can be told of now; the others wait for the customer to be added back
    :param calls: that change the list of tags at WeCom
    :param confirm: what says yes to this
    """

    group_id: int
    push: Push
    at_wecom: str | None
    tags: int
    relations: int
    reachable: int
    calls: int
    confirm: str

    @property
    def wecom_calls(self) -> int:
        """All calls: of the list, and one ``mark_tag`` for each relation."""
        return self.calls + (self.reachable if self.push == Push.WECOM else 0)

    @property
    def wecom_seconds(self) -> float:
        """How long the limits make the marks take."""
        return calls_take(self.reachable) if self.push == Push.WECOM else 0.0

    @property
    def words(self) -> dict[str, str]:
        """The same as a sentence."""
        if self.push == Push.WECOM:
            return {
                "zh": f"将在企业微信创建{self.tags}个标签，并为{self.relations}个客户关系打标签："
                f"共调用{self.wecom_calls}次，约需{self.wecom_seconds:.0f}秒。",
                "en": f"{self.tags} tags would be made at WeCom and {self.relations} relations marked there: "
                f"{self.wecom_calls} calls, about {self.wecom_seconds:.0f} seconds.",
            }
        said = _LEAVING[self.at_wecom or ""]
        return {key: text.format(tags=self.tags, relations=self.relations) for key, text in said.items()}


_LEAVING = {
    "": {
        "zh": "{tags}个标签将只保留在本系统中。",
        "en": "{tags} tags would be kept here alone.",
    },
    "keep": {
        "zh": "{tags}个标签（{relations}个客户关系）将只保留在本系统中；企业微信中的同名标签原样保留，成为单独的标签组。",
        "en": "{tags} tags on {relations} relations would be kept here alone; those at WeCom stay there as a group of its own.",
    },
    "delete": {
        "zh": "{tags}个标签（{relations}个客户关系）将只保留在本系统中；企业微信中的标签将被删除，并从所有客户上去掉。",
        "en": "{tags} tags on {relations} relations would be kept here alone; those at WeCom are deleted and taken off all "
        "customers there.",
    },
}


def relations_of_switch(tag_ids: Sequence[int]) -> dict[str, Any]:
    """``relations`` that hold one of the tags, and those of them that are ``reachable``."""
    told = case((Follow.status.in_(REACHABLE), Follow.id))
    counted = (
        select(
            func.count(Follow.id.distinct()).label("relations"),
            func.count(told.distinct()).label("reachable"),
        )
        .join(TagAssignment, TagAssignment.follow_id == Follow.id)
        .where(is_one_of(TagAssignment.tag_id, tag_ids), TagAssignment.state.in_(HELD))
    )
    return dict(session().execute(counted).one()._mapping)

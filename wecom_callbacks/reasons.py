"""Why a callback was ignored: one stable word for the row and for counting, one sentence for people."""

from __future__ import annotations

from enum import StrEnum


class Ignored(StrEnum):
    """Every reason. A handler names the rows it ignores with one of these; all others are done."""

    UNKNOWN_EVENT = "unknown_event"
    NOT_USED = "not_used"
    INCOMPLETE = "incomplete"
    RULE_GROUP_TAG = "rule_group_tag"
    MEMBER_TAG = "member_tag"

    @property
    def sentence(self) -> str:
        """For people, Chinese first."""
        return SENTENCES[self]


SENTENCES = {
    Ignored.UNKNOWN_EVENT: "没有处理此事件的程序 / nothing here handles this event or change type",
    Ignored.NOT_USED: "已知事件, 系统不使用 / a known event that this system has no use for",
    Ignored.INCOMPLETE: "缺少必要字段, 无法得知对象 / it does not say whom or what it is about",
    Ignored.RULE_GROUP_TAG: "规则组标签, 不属于企业标签 / a tag of a rule group (strategy), not of the corp",
    Ignored.MEMBER_TAG: "通讯录成员标签, 系统不使用 / a tag of members, which is not used for customers",
}

"""Why an item stands where it stands, in words, and what each errcode of a transfer means for it."""

from __future__ import annotations

from enum import StrEnum

from scrm.transfers.models import Reason, Resolution
from scrm.wecom.errors import ErrorKind, explain, kind_of
from scrm.wecom.transfer_match import NOT_TOLD

WORDS: dict[str, tuple[str, str]] = {
    Reason.HALF_RELATION: ("成员未回添加该客户，企业微信不允许转接", "the member has not added the customer back; WeCom refuses such relations"),
    Reason.TOO_OFTEN: ("90 个自然日内已转接 2 次", "handed over twice within 90 natural days already"),
    Reason.IN_OTHER_PLAN: ("已在另一转接计划中", "in another plan that is under way"),
    Reason.NO_RELATION: ("与原成员已无联系关系", "no relation with the handing-over member any more"),
    Reason.TRANSFERRED_ELSEWHERE: ("已在别处转接", "handed over elsewhere"),
    Reason.NO_SHARE: ("不符合任何分配条件", "no share of the rule fits"),
    Reason.NO_RECEIVER: ("没有可接替的成员", "nobody can receive it"),
    Reason.RECEIVER_UNAVAILABLE: ("接替成员已离职、被禁用或无客户联系权限", "the receiver left, is disabled or may not serve customers"),
    Reason.RECEIVER_FULL: ("接替成员客户数已满", "the receiver has as many customers as WeCom allows"),
    Reason.RECEIVER_LEFT: ("接替成员已离职", "the receiver left"),
    Reason.RECEIVER_DISABLED: ("接替成员未激活或被禁用", "the receiver is not activated or disabled"),
    Reason.RECEIVER_WITHOUT_FEATURE: ("接替成员无客户联系权限", "the receiver may not serve customers"),
    Reason.REFUSED: ("客户拒绝转接", "the customer refused"),
    Reason.IN_TRANSFER: ("正在转接中（可能由管理后台发起）", "in transfer already, perhaps from the admin console"),
    Reason.NO_RECORD: ("企业微信没有该转接记录", "WeCom shows no record of the transfer"),
    Reason.WECOM_REFUSED: ("企业微信拒绝转接", "WeCom refused"),
    Reason.UNKNOWN: ("转接失败，企业微信未说明原因", "failed for a reason WeCom does not name"),
    Reason.DAILY_LIMIT: ("同一群主每天最多向同一新群主转接 300 个群，明天继续", "300 groups a day from one owner to the same new owner; goes on tomorrow"),
    Reason.PLAN_CANCELLED: ("计划已取消", "the plan was cancelled"),
    Reason.TAKEN_OUT: ("已从计划中移除", "taken out of the plan"),
    Reason.GROUP_DISMISSED: ("群已解散", "the group was dismissed"),
    Reason.MEMBER_LEFT: ("原成员已离职，请使用离职继承", "the handing-over member left; hand over as resigned"),
    Resolution.TRANSFERRED: ("已转接", "handed over"),
    Resolution.FOUND_OWNER: ("企业微信不再列为待分配", "no longer listed by WeCom"),
    Resolution.RETURNED: ("成员已返岗", "the member is back"),
}  # fmt: skip


class Meaning(StrEnum):
    """What an errcode of a transfer call says about the customer or group it is about."""

    STARTED = "started"
    IN_TRANSFER = "in_transfer"
    TOO_OFTEN = "too_often"
    RECEIVER = "receiver"  # this receiver cannot, another may
    GONE = "gone"  # there is no relation to hand over
    PLAN = "plan"  # nothing of this plan can work until a person mends something
    AGAIN = "again"  # not done; may be asked again
    REFUSED = "refused"


MEANINGS: dict[int, Meaning] = {
    0: Meaning.STARTED,
    40100: Meaning.IN_TRANSFER,
    40129: Meaning.IN_TRANSFER,
    90504: Meaning.IN_TRANSFER,  # the new owner has the group already: reading it tells
    90507: Meaning.IN_TRANSFER,
    90508: Meaning.IN_TRANSFER,
    40128: Meaning.TOO_OFTEN,
    40003: Meaning.RECEIVER,
    40098: Meaning.RECEIVER,
    40099: Meaning.RECEIVER,
    40130: Meaning.RECEIVER,
    41054: Meaning.RECEIVER,
    60111: Meaning.RECEIVER,
    84074: Meaning.RECEIVER,
    84083: Meaning.RECEIVER,
    40096: Meaning.GONE,
    40131: Meaning.GONE,
    84061: Meaning.GONE,
    84084: Meaning.GONE,
    40097: Meaning.PLAN,  # the handing-over member has not resigned
    40143: Meaning.PLAN,  # … or is banned
    90500: Meaning.PLAN,  # the owner has not resigned
    90502: Meaning.PLAN,  # the owner has resigned: the on-job way is the wrong one
    49008: Meaning.GONE,
    NOT_TOLD: Meaning.AGAIN,
}
"""Codes of wecom-api.md sections 1.3 and 4.12; the others are told by their class."""

FULL = 40099
NO_PERMISSION_OF_RECEIVER = (
    60021  # "outside the app's visible range": of a receiver, or of the handing-over member
)


def meaning_of(errcode: int | None) -> Meaning:
    """What ``errcode`` of a call, or of one customer in its answer, means; None: WeCom was not reached."""
    if errcode is None:
        return Meaning.AGAIN
    if errcode in MEANINGS:
        return MEANINGS[errcode]
    kind = kind_of(errcode)
    if kind is ErrorKind.DENIED:
        return Meaning.PLAN
    passing = {
        ErrorKind.RETRYABLE,
        ErrorKind.RATE_LIMITED,
        ErrorKind.BUSY,
        ErrorKind.TOKEN_EXPIRED,
        ErrorKind.UNCLEAR,
    }
    return Meaning.AGAIN if kind in passing else Meaning.REFUSED


def words_of(reason: str | None, errcode: int | None) -> dict[str, str] | None:
    """``{"zh", "en"}`` for people; WeCom's code adds its own meaning. None when there is nothing to say."""
    zh, en = WORDS.get(reason or "", ("", ""))
    row = explain(errcode) if errcode and errcode != NOT_TOLD else None
    if row and reason in {None, Reason.WECOM_REFUSED, Reason.RECEIVER_UNAVAILABLE}:
        zh, en = f"{errcode}：{row.zh}", f"{errcode}: {row.en}"
    return {"zh": zh, "en": en} if zh else None

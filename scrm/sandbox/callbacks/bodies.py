"""Plaintext XML of the callbacks, field for field as wecom-api.md §3 gives them."""

from __future__ import annotations

from dataclasses import dataclass


def cdata(name: str, text: str) -> str:
    """An element with CDATA; a `]]>` inside is split so that the XML stays well formed."""
    return f"<{name}><![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]></{name}>"


def plain(name: str, value: float | str) -> str:
    """An element with a bare number."""
    return f"<{name}>{value}</{name}>"


def optional(name: str, text: str | None) -> str:
    """An element, or nothing when there is no text."""
    return cdata(name, text) if text else ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who, to whom and when; `sender` None leaves FromUserName out (kf events, §3.5)."""

    corp_id: str
    created: int
    sender: str | None = "sys"

    def event(self, name: str, rest: str) -> str:
        """An event body with `rest` after the common fields."""
        return f"<xml>{self._head()}{cdata('MsgType', 'event')}{cdata('Event', name)}{rest}</xml>"

    def message(self, kind: str, rest: str) -> str:
        """A member's message to the app (§3.7)."""
        return f"<xml>{self._head()}{cdata('MsgType', kind)}{rest}</xml>"

    def _head(self) -> str:
        sender = "" if self.sender is None else cdata("FromUserName", self.sender)
        return f"{cdata('ToUserName', self.corp_id)}{sender}{plain('CreateTime', self.created)}"


def contact_change(change: str, userid: str, external_userid: str, rest: str = "") -> str:
    """The fields of change_external_contact (§3.1); `rest` = State, WelcomeCode or Source."""
    return f"{cdata('ChangeType', change)}{cdata('UserID', userid)}{cdata('ExternalUserID', external_userid)}{rest}"


def transfer_fail(reason: str, userid: str, external_userid: str) -> str:
    """FailReason comes before the ids in the vendor's sample (§3.1)."""
    return (
        f"{cdata('ChangeType', 'transfer_fail')}{cdata('FailReason', reason)}"
        f"{cdata('UserID', userid)}{cdata('ExternalUserID', external_userid)}"
    )


def chat_change(chat_id: str, change: str, detail: str | None = None, rest: str = "") -> str:
    """The fields of change_external_chat (§3.2)."""
    return f"{cdata('ChatId', chat_id)}{cdata('ChangeType', change)}{optional('UpdateDetail', detail)}{rest}"


def member_change(scenes: str, people: list[str], versions: tuple[str, str]) -> str:
    """MemChangeCnt, MemChangeList and the version link of a join or leave (§3.2)."""
    items = "".join(plain("Item", person) for person in people)
    return (
        f"{scenes}{plain('MemChangeCnt', len(people))}<MemChangeList>{items}</MemChangeList>"
        f"{cdata('LastMemVer', versions[0])}{cdata('CurMemVer', versions[1])}"
    )


def tag_change(tag_id: str, tag_type: str | None, change: str, strategy_id: int | None = None) -> str:
    """The fields of change_external_tag (§3.3); shuffle has no TagType, only rule groups have a StrategyId."""
    strategy = "" if strategy_id is None else plain("StrategyId", strategy_id)
    return f"{cdata('Id', tag_id)}{optional('TagType', tag_type)}{strategy}{cdata('ChangeType', change)}"


def kf_event(token: str, open_kfid: str) -> str:
    """The fields of kf_msg_or_event (§3.5)."""
    return f"{cdata('Token', token)}{cdata('OpenKfId', open_kfid)}"


def message_tail(msgid: int, agentid: int) -> str:
    """MsgId and AgentID, the end of every member message (§3.7)."""
    return f"{plain('MsgId', msgid)}{plain('AgentID', agentid)}"

"""Single acts of simulated people, each one call of the sandbox's control API."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from scrm.cli.story.marketing import KEYWORDS, Marketing
from scrm.sandbox.control import SandboxControl

REMEMBERED = 500  # newest acquaintances who act again; the corp itself may grow larger
CHATTER = ("你好", "在吗?", "谢谢", "周末开门吗?", "发一下资料", "好的")
REMARKS = ("老客户介绍", "重点跟进", "下周回访", "已寄样品")


class People:
    """Customers and members who act.

    :param marketing: the channel codes that hang on walls and web pages
    """

    def __init__(self, control: SandboxControl, chance: random.Random, marketing: Marketing) -> None:
        self.control = control
        self.random = chance
        self.codes = [code["config_id"] for code in marketing.codes.values()]
        self.staff = control.state_ids("member")
        self.pairs: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)  # (userid, external_userid)
        self.acts: dict[str, Callable[[], None]] = {
            "scan": self.scan,
            "ask": self.ask,
            "chat": self.chat,
            "join": self.join,
            "staff": self.staff_writes,
            "remark": self.remark,
            "leave": self.leave,
            "delete": self.delete,
        }

    def act(self, name: str) -> None:
        """Do one thing; while nobody is known yet, somebody scans a code instead."""
        (self.acts[name] if self.pairs else self.scan)()

    def scan(self) -> None:
        """Somebody new scans a channel code."""
        person = self.control.scan(self.random.choice(self.codes))[0]
        self.pairs.append((person["userid"], person["external_userid"]))

    def ask(self) -> None:
        """A customer asks for the price in customer service."""
        self.control.chat(self._pair()[1], f"请问{self.random.choice(KEYWORDS)}?")

    def chat(self) -> None:
        """A customer says something in customer service."""
        self.control.chat(self._pair()[1], self.random.choice(CHATTER))

    def join(self) -> None:
        """A customer joins a group they are not in."""
        chat_id, inside = self._group()
        outside = [external_userid for _, external_userid in self.pairs if external_userid not in inside]
        if chat_id and outside:
            self.control.join_group(chat_id, [self.random.choice(outside)])

    def leave(self) -> None:
        """Somebody leaves a group."""
        chat_id, inside = self._group()
        if chat_id and inside:
            self.control.leave_group(chat_id, [self.random.choice(inside)])

    def _group(self) -> tuple[str, list[str]]:
        """Some group and the customers in it; nothing when there is no group."""
        if not (groups := self.control.state_ids("group")):
            return "", []
        chat_id = self.random.choice(groups)
        members = self.control.state("group", chat_id)["members"]
        return chat_id, [userid for userid in members if userid not in self.staff]

    def staff_writes(self) -> None:
        """A member writes to the app."""
        self.control.staff_message(self.random.choice(self.staff), self.random.choice(CHATTER))

    def remark(self) -> None:
        """A member notes something about a customer."""
        userid, external_userid = self._pair()
        self.control.edit(userid, external_userid, remark=self.random.choice(REMARKS))

    def delete(self) -> None:
        """A customer deletes a member."""
        pair = self._pair()
        self.pairs.remove(pair)
        self.control.delete_follow(*pair)

    def _pair(self) -> tuple[str, str]:
        return self.random.choice(self.pairs)

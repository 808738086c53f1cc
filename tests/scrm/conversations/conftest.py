"""A customer-service desk in the sandbox, and a person who writes to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from scrm.conversations.jobs import pull_kf, reply
from scrm.conversations.models import AutoReply, Channel, MatchKind
from scrm.conversations.queries import pulls_due, replies_due
from scrm.conversations.service.kf import PullWish, want_pull
from scrm.kernel.clock import utcnow
from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.wecom.jobs import carry_out_urgent


def pull() -> None:
    """Let the worker read until nothing is due; it gives way to other jobs and is woken again."""
    for _ in range(20):
        pull_kf()
        if not pulls_due():
            return
    raise AssertionError("accounts still wait to be read after 20 runs")


def consider() -> None:
    """Let the worker consider messages until nothing is due."""
    for _ in range(20):
        reply()
        if not replies_due():
            return
    raise AssertionError("messages still wait to be considered after 20 runs")


@dataclass
class Desk:
    """One account: what people say reaches us, what we answer reaches the sandbox."""

    sandbox: Any
    open_kfid: str
    person: str

    def said(self, text: str, person: str | None = None, **more: Any) -> str:
        """Somebody writes; returns who."""
        who = person or self.person
        return str(self.sandbox.chat(who, text, open_kfid=self.open_kfid, **more)["external_userid"])

    def stranger(self) -> str:
        """Somebody new, who opened the conversation only."""
        return str(self.sandbox.kf_enter(open_kfid=self.open_kfid)["external_userid"])

    def read(self) -> None:
        """Read the account as the worker does."""
        with transaction():
            want_pull([PullWish(self.open_kfid, None, utcnow())])
        pull()

    def work(self) -> None:
        """Read, consider, and carry out what was planned."""
        self.read()
        consider()
        carry_out_urgent()

    def received(self, person: str | None = None) -> list[str]:
        """Texts WeCom took from us for a person."""
        who = person or self.person
        sent = self.sandbox.state("kf_account", self.open_kfid)["sent"]
        return [item["text"]["content"] for item in sent if item["touser"] == who]


@pytest.fixture
def desk(session, sandbox):
    """A desk with one person who has entered and said nothing."""
    sandbox.set_limits(kf_tokenless_minute=100_000)
    open_kfid = sandbox.population(members=3, kf_accounts=1)["kf_accounts"][0]
    return Desk(sandbox, open_kfid, sandbox.kf_enter(open_kfid=open_kfid)["external_userid"])


def make_rule(**values: Any) -> AutoReply:
    """A rule that answers 价格 with 99 元 in customer service; keyword arguments change it."""
    defaults = {
        "name": "价格", "channel": Channel.KF, "match": MatchKind.CONTAINS, "keywords": ["价格"],
        "reply_text": "99 元", "cooldown_seconds": 0,
    }  # fmt: skip
    rule = AutoReply(**{**defaults, **values})
    with transaction():
        current_session().add(rule)
    return rule


@pytest.fixture
def rule():
    """Makes rules."""
    return make_rule

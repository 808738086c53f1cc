"""What people said about being contacted, for conditions."""

from __future__ import annotations

from sqlalchemy import func, select

from scrm.kernel.db import session
from scrm.people.models import PersonConsent

CHANNEL_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"
CHANNELS = {
    "email": ("邮件", "e-mail"),
    "phone": ("电话", "phone"),
    "sms": ("短信", "SMS"),
    "wecom": ("企业微信", "WeCom"),
}
"""Channels that companies have as a rule, with their names in zh-CN and English; others are names of the company's own."""


def known_channels() -> set[str]:
    """The usual channels, and every one about which somebody said something: a step along the index for each."""
    least = func.min(PersonConsent.channel)
    named = select(least.label("channel")).cte("named", recursive=True)
    after = select(least).where(PersonConsent.channel > named.c.channel).scalar_subquery()
    named = named.union_all(select(after).where(named.c.channel.is_not(None)))
    told = session().scalars(select(named.c.channel).where(named.c.channel.is_not(None)))
    return {*CHANNELS, *told}

"""Nudge the members who have not confirmed a broadcast: ``{"msgid"}``; result ``{}``.

WeCom tells nobody whether it reminded, so one without an answer is left to a person: 3 a day are the limit.
"""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import posting
from scrm.wecom.models import Priority
from scrm.wecom.registry import Kind

API = "externalcontact/remind_groupmsg_send"

KIND = Kind(
    "broadcast_remind",
    API,
    "externalcontact",
    Queue.BROADCAST,
    Priority.BROADCAST,
    posting(API),
    question=(
        "询问一位尚未发送的成员：企业微信是否又提醒了一次。24 小时内最多提醒 3 次。",
        "Ask a member who has not sent it: did WeCom remind once more? 3 reminders in 24 hours are the most.",
    ),
)

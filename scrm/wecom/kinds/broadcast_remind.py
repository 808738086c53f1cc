"""Nudge the members who have not confirmed a broadcast: ``{"msgid"}``; result ``{}``.

WeCom tells nobody whether it reminded, so one without an answer is left to a person: 3 a day are the limit.
"""

from __future__ import annotations

from config.queues import Queue
from scrm.wecom.asking import posting
from scrm.wecom.models import Priority
from scrm.wecom.registry import Kind

API = "externalcontact/remind_groupmsg_send"

KIND = Kind("broadcast_remind", API, "externalcontact", Queue.BROADCAST, Priority.BROADCAST, posting(API))

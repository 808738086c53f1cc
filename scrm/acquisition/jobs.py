"""What workers do for acquisition."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from config.queues import Queue
from scrm.acquisition import queries
from scrm.acquisition.service import greeting
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job
from scrm.wecom.client import wecom
from scrm.wecom.errors import WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel

RUN_SECONDS = 20.0
NAME_TIMEOUT = 4.0  # seconds a question for a name may take; the welcome needs the rest of its 20


@job(Queue.URGENT, due=queries.names_wanted)
def plan_nameless_welcomes() -> None:
    """Ask WeCom for the names that welcomes want to say, many at once, and plan those welcomes."""
    until = time.monotonic() + RUN_SECONDS
    while time.monotonic() < until:
        with transaction():
            token, greeted = greeting.claim_nameless()
        if not greeted:
            return
        in_time = {one.external_userid for one in greeted if one.seconds_left > greeting.NAME_SECONDS}
        names = _names(sorted(in_time))
        with transaction():
            greeting.plan_named(token, greeted, names)
    plan_nameless_welcomes.wake()


def _names(external_userids: list[str]) -> dict[str, str]:
    """Names by external_userid; who WeCom does not tell of in time is left out."""
    if not external_userids:
        return {}
    client = wecom(priority=Priority.WELCOME, patience=1.0).with_options(read_timeout=NAME_TIMEOUT)
    calls = [partial(client.get, "externalcontact/get", external_userid=one) for one in external_userids]
    answers: list[dict[str, Any] | WecomError] = run_parallel(calls)
    found = [answer for answer in answers if not isinstance(answer, WecomError)]
    contacts = [answer["external_contact"] for answer in found]
    return {contact["external_userid"]: contact["name"] for contact in contacts if contact.get("name")}

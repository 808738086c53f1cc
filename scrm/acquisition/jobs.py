"""What workers do for acquisition."""

from __future__ import annotations

import time
from functools import partial

from config.queues import Queue
from scrm.acquisition import queries
from scrm.acquisition.service import greeting
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job, others_wait
from scrm.wecom.client import Client, wecom
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel

RUN_SECONDS = 2.0  # the urgent worker has other welcomes to plan
NAME_TIMEOUT = 2.0  # seconds one question for a name may take
NAMES_SECONDS = 3.0  # and all questions of a round; the welcomes need the rest of their 20


@job(Queue.URGENT, due=queries.names_wanted)
def plan_nameless_welcomes() -> None:
    """Ask WeCom for the names that welcomes want to say, many at once, and plan those welcomes."""
    until = time.monotonic() + RUN_SECONDS
    while _plan_some():
        if time.monotonic() > until or others_wait(Queue.URGENT):
            plan_nameless_welcomes.wake()
            return


def _plan_some() -> bool:
    """One batch; whether there was any."""
    with transaction():
        token, greeted = greeting.claim_nameless()
    if not greeted:
        return False
    in_time = {one.external_userid for one in greeted if one.seconds_left > greeting.NAME_SECONDS}
    names = _names(sorted(in_time))
    with transaction():
        greeting.plan_named(token, greeted, names)
    return True


def _names(external_userids: list[str]) -> dict[str, str]:
    """Names by external_userid; who WeCom does not tell of in time is left out."""
    if not external_userids:
        return {}
    client = wecom(priority=Priority.WELCOME, patience=1.0).with_options(read_timeout=NAME_TIMEOUT)
    until = time.monotonic() + NAMES_SECONDS
    answers = run_parallel([partial(_name, client, one, until) for one in external_userids])
    found = zip(external_userids, answers, strict=True)
    return {one: name for one, name in found if isinstance(name, str)}


def _name(client: Client, external_userid: str, until: float) -> str | None:
    """What WeCom calls this person; None when the round has no time left to ask."""
    if time.monotonic() > until:
        return None
    answer = client.get("externalcontact/get", external_userid=external_userid)
    name: str = (answer.get("external_contact") or {}).get("name") or ""
    return name.replace("\0", "") or None  # JSON may carry a NUL, PostgreSQL may not

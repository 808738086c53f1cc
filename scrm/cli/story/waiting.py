"""Waiting for something to become true elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from scrm.cli.exits import Problem
from scrm.cli.story.api import Api

ASK_SECONDS = 0.2
OPEN_INBOX = ("received", "processing", "failed")
OPEN_EFFECTS = ("planned", "sent", "unknown")


def wait_for(what: str, question: Callable[[], bool], seconds: float) -> None:
    """Ask until the answer is yes.

    :raises Problem: after ``seconds``, saying ``what`` was waited for
    """
    until = time.monotonic() + seconds
    while not question():
        if time.monotonic() > until:
            raise Problem(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(ASK_SECONDS)


def is_idle(api: Api) -> bool:
    """Whether no callback and no change at WeCom is open."""
    return not any(
        api.get(path, state=state, limit=1)["items"]
        for path, states in (("inbox", OPEN_INBOX), ("effects", OPEN_EFFECTS))
        for state in states
    )

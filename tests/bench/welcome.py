"""`welcome`: people add members at a steady rate; how long from our receipt to WeCom's acceptance of the welcome.

The whole deployment runs as real processes. Each welcome names its customer, whom nobody knows yet, so every one needs a
question to WeCom first: the longest way a welcome can take. Receipt is the inbox row's time, acceptance the time in the
sandbox's own log; both on this machine's clock. The baseline, during the same minute, is a bare call of the sandbox.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping
from typing import Any, Self

import requests

from tests.stack import APP, CORP_ID, Stack

TARGET_P99_SECONDS = 3.0
RATE = 50
SECONDS = 60
API = "externalcontact/send_welcome_msg"
BASELINE_PAUSE = 0.05
RECEIVED = r"""
SELECT (regexp_match(body, '<WelcomeCode><!\[CDATA\[([^]]+)\]\]>'))[1], extract(epoch FROM received_at)::float
FROM callback_inbox WHERE body LIKE '%%<WelcomeCode>%%'
"""
MESSAGE = """
INSERT INTO welcome_messages (name, text, attachments, staff_ids, is_default)
VALUES ('bench', '你好{customer}，我是{staff}，欢迎来到{corp}',
        '[{"msgtype": "link", "link": {"title": "目录", "url": "https://example.com"}}]', '{}', true)
"""


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; ``options`` may hold ``quick``, ``rate`` (adds a second) and ``seconds``.

    :returns: one line with the 99th percentile in seconds, and how many were missed, by reason
    """
    seconds = float(options.get("seconds", 5 if options.get("quick") else SECONDS))
    rate = float(options.get("rate", RATE))
    with Stack(durable=True) as stack:
        stack.control.population(members=20, customers=0, kf_accounts=0)
        stack.sql(MESSAGE)
        _warm_up(stack)
        with Baseline(stack) as baseline:
            plan = {"mix": {"add": 1}, "rate": rate, "seconds": seconds, "prepare": False}
            traffic = stack.control.wait_traffic(stack.control.start_traffic(**plan)["id"], seconds + 60)
            _wait_until_told(stack)
        received, accepted = dict(stack.sql(RECEIVED)), _accepted(stack)
        missed = dict(
            stack.sql("SELECT reason, count(*) FROM welcomes WHERE outcome <> 'sent' GROUP BY reason")
        )
    waits = sorted(accepted[code] - at for code, at in received.items() if code in accepted)
    p99 = _percentile(waits, 0.99)
    lost = len(received) - len(waits)
    return [
        {
            "name": "welcome",
            "value": round(p99, 3),
            "unit": "s",
            "baseline": round(baseline.p99, 4),
            "ratio": round(p99 / baseline.p99, 1),
            "target": TARGET_P99_SECONDS,
            "pass": p99 <= TARGET_P99_SECONDS
            and not missed
            and not lost
            and len(waits) >= rate * seconds * 0.95,
            "median": round(statistics.median(waits), 3),
            "longest": round(waits[-1], 3),
            "welcomes": len(waits),
            "missed": sum(missed.values()) + lost,
            "reasons": missed,
            "callbacks_failed": traffic["failed"],
        }
    ]


class Baseline:
    """Bare calls of the sandbox while the deployment works, twenty a second, on one kept connection."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"{stack.sandbox.base_url}/cgi-bin/externalcontact/get_follow_user_list"
        self._session = requests.Session()
        token = self._session.get(
            f"{stack.sandbox.base_url}/cgi-bin/gettoken",
            params={"corpid": CORP_ID, "corpsecret": str(APP["secret"])},
            timeout=5,
        )
        self._params = {"access_token": token.json()["access_token"]}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._seconds: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def p99(self) -> float:
        """99th percentile of the calls' seconds."""
        return _percentile(sorted(self._seconds), 0.99)

    def _measure(self) -> None:
        while not self._stop.wait(BASELINE_PAUSE):
            started = time.perf_counter()
            self._session.get(self._url, params=self._params, timeout=10)
            self._seconds.append(time.perf_counter() - started)


def _warm_up(stack: Stack) -> None:
    """A few people before the clock runs: processes have imported, tokens are there."""
    stack.control.add(stack.control.state_ids("member")[0], count=5)
    _wait_until_told(stack)
    stack.sql("DELETE FROM welcomes")
    stack.sql("DELETE FROM callback_inbox")


def _wait_until_told(stack: Stack) -> None:
    """Until every callback is handled and every welcome has ended, or could not end well any more."""
    stack.control.wait_callbacks(30)
    until = time.monotonic() + 45
    question = (
        "SELECT (SELECT count(*) FROM welcomes WHERE outcome = 'planned')"
        " + (SELECT count(*) FROM callback_inbox WHERE state IN ('received', 'processing', 'failed'))"
    )
    while stack.sql(question)[0][0] and time.monotonic() < until:
        time.sleep(0.2)


def _accepted(stack: Stack) -> dict[str, float]:
    """When the sandbox accepted each welcome code, in Unix seconds."""
    return {call["body"]["welcome_code"]: call["at"] for call in stack.control.log(API, limit=100_000)}


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

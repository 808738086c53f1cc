"""`priority`: how long a welcome waits for its turn while broadcasts take all they can get.

Real processes: workers carry out thousands of planned broadcasts at full rate against the sandbox. Meanwhile a process of
its own asks for turns at the very API they saturate, by turns with the priority of a welcome (the value) and of a
broadcast (the baseline, waiting at most five seconds), and plans welcomes, which the urgent worker sends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from config.queues import Queue
from tests.stack import Stack, wait_until

TARGET_MS = 100.0
SECONDS, QUICK_SECONDS = 30.0, 4.0
PER_MINUTE = 3000  # far below what the workers and the sandbox can do, so that the governor decides
EVERY_SECONDS = 0.05
PATIENCE_SECONDS = 5.0
API, WELCOME_API = "externalcontact/add_msg_template", "externalcontact/send_welcome_msg"
WORKERS = (f"worker:{Queue.URGENT}", f"worker:{Queue.BROADCAST}", "clock")


def run(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Measure; ``options`` may hold ``quick``.

    :returns: one line with the 99th percentile of the wait in milliseconds
    """
    seconds = QUICK_SECONDS if options.get("quick") else SECONDS
    environment = {"SCRM_GOVERNOR__PER_MINUTE": str(PER_MINUTE)}
    with Stack(WORKERS, environment=environment, limits={"rate_limits_on": False}) as stack:
        stack.control.population(members=2, customers=20, kf_accounts=0)
        planned = _in_a_process(stack, "plan", int(PER_MINUTE / 60 * (seconds + 30)) + PER_MINUTE // 5)[
            "planned"
        ]
        wait_until(lambda: _sent(stack) > PER_MINUTE * 0.1, 60)  # the burst is used up
        before, at = _sent(stack), time.monotonic()
        waits = _in_a_process(stack, "measure", int(seconds))
        rate = (_sent(stack) - before) / (time.monotonic() - at)
        left = planned - _sent(stack)
        told = {
            call["body"]["welcome_code"]: call["at"]
            for call in stack.control.log(WELCOME_API, everything=True)
        }
    delays = sorted(told[code] - planned_at for code, planned_at in waits["welcomes"].items() if code in told)
    welcome, broadcast = _summary(waits["welcome"]), _summary(waits["broadcast"])
    return [
        {
            "name": "priority",
            "value": welcome["p99"],
            "unit": "ms",
            "baseline": broadcast["p99"],
            "ratio": round(welcome["p99"] / max(broadcast["p99"], 0.001), 4),
            "target": TARGET_MS,
            "pass": welcome["p99"] < TARGET_MS and left > 0 and len(delays) == len(waits["welcomes"]),
            "median": welcome["median"],
            "longest": welcome["longest"],
            "baseline_median": broadcast["median"],
            "broadcasts_per_s": round(rate, 1),
            "welcomes": len(delays),
            "welcome_to_wecom_p99_ms": _percentile(delays, 0.99) * 1000 if delays else None,
        }
    ]


def _sent(stack: Stack) -> int:
    return sum(stack.control.log_counts().get(API, {}).values())


def _in_a_process(stack: Stack, what: str, number: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.priority", what, str(number)]
    environment = {**os.environ, **stack.environment()}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def plan_broadcasts(number: int) -> dict[str, Any]:
    """Plan ``number`` broadcasts of one customer each."""
    from scrm.kernel.db import transaction
    from scrm.wecom.client import wecom
    from scrm.wecom.effects import Intent, plan

    member = wecom().get("externalcontact/get_follow_user_list")["follow_user"][0]
    people = wecom().get("externalcontact/list", userid=member)["external_userid"]
    body = {"external_userid": people[:1], "sender": member}
    with transaction():
        plan(
            Intent("broadcast", f"bench:{n}", {**body, "text": {"content": f"活动 {n}"}})
            for n in range(number)
        )
    return {"planned": number}


def measure(seconds: int) -> dict[str, Any]:
    """Waits in milliseconds by priority, and when each welcome was planned (Unix time)."""
    from scrm.kernel.db import transaction
    from scrm.wecom.client import gateway
    from scrm.wecom.effects import Intent, plan
    from scrm.wecom.models import Priority

    governor = gateway().of_app("main").governor
    waits: dict[str, list[float]] = {"welcome": [], "broadcast": []}
    welcomes: dict[str, float] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        code = f"bench{len(welcomes)}"
        payload = {"welcome_code": code, "text": {"content": "您好"}}
        with transaction():
            plan([Intent("welcome", f"welcome:{code}", payload)])
        welcomes[code] = time.time()
        for name, priority in (("welcome", Priority.WELCOME), ("broadcast", Priority.BROADCAST)):
            waits[name].append(_wait(governor, priority))
        time.sleep(EVERY_SECONDS)
    time.sleep(1.0)  # the last welcomes arrive
    return {**waits, "welcomes": welcomes}


def _wait(governor: Any, priority: Any) -> float:
    from scrm.wecom.errors import Deferred

    started = time.perf_counter()
    try:
        with governor.turn(API, priority, PATIENCE_SECONDS):
            return (time.perf_counter() - started) * 1000
    except Deferred:
        return PATIENCE_SECONDS * 1000


def _summary(waits: list[float]) -> dict[str, float]:
    ordered = sorted(waits)
    figures = {"median": _percentile(ordered, 0.5), "p99": _percentile(ordered, 0.99), "longest": ordered[-1]}
    return {name: round(value, 2) for name, value in figures.items()}


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Run one part in a process of the deployment and print its result as JSON."""
    from config.settings import load_settings
    from scrm.bootstrap import create_app

    part = {"plan": plan_broadcasts, "measure": measure}[sys.argv[1]]
    with create_app(load_settings()).app_context():
        print(json.dumps(part(int(sys.argv[2]))))


if __name__ == "__main__":
    main()

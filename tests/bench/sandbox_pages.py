"""`python -m tests.bench.sandbox_pages`: pages of 100 customers the sandbox answers from its computed corp.

Prints one JSON line: pages a second of wall time and of the sandbox's own CPU time, and its memory in MB.
"""

from __future__ import annotations

import http.client
import json
import time
from urllib.parse import urlsplit

import orjson
import psutil

from scrm.sandbox.testing import RunningSandbox, running_sandbox

MEMBERS, CUSTOMERS = 1_000, 1_000
MEMBERS_READ = 300
PER_CALL = 10
CONFIG = {"limits": {"rate_limits_on": False, "log_keep": 10_000}}


def main() -> None:
    """Read the customers of 300 members, 10 members a call."""
    with running_sandbox(CONFIG) as running:
        running.control.bulk(MEMBERS, CUSTOMERS, second_follow_share=0.05)
        processes = _processes(running)
        before, began = _cpu(processes), time.monotonic()
        pages = _read(running)
        wall, cpu = time.monotonic() - began, _cpu(processes) - before
        memory = max(process.memory_info().rss for process in processes) // 1_000_000
    found = {
        "pages": pages,
        "per_second": round(pages / wall),
        "per_cpu_second": round(pages / cpu),
        "mb": memory,
    }
    print(json.dumps({"sandbox_pages": found}))


def _read(running: RunningSandbox) -> int:
    connection = http.client.HTTPConnection(urlsplit(running.base_url).netloc)

    def call(method: str, path: str, body: bytes | None = None) -> bytes:
        connection.request(method, f"/cgi-bin/{path}", body)
        return connection.getresponse().read()

    found = orjson.loads(call("GET", f"gettoken?corpid={running.corp_id}&corpsecret={running.secret}"))
    token = found["access_token"]
    listed = orjson.loads(call("GET", f"externalcontact/get_follow_user_list?access_token={token}"))
    users = listed["follow_user"][:MEMBERS_READ]
    pages = 0
    for start in range(0, len(users), PER_CALL):
        cursor = ""
        while True:
            body = {"userid_list": users[start : start + PER_CALL], "limit": 100, "cursor": cursor}
            page = call("POST", f"externalcontact/batch/get_by_user?access_token={token}", orjson.dumps(body))
            pages += 1
            cursor = page[page.rindex(b'":"') + 3 : -2].decode()
            if not cursor:
                break
    connection.close()
    return pages


def _processes(running: RunningSandbox) -> list[psutil.Process]:
    parent = psutil.Process(running.process.pid)
    return [parent, *parent.children(recursive=True)]


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


if __name__ == "__main__":
    main()

"""Real processes that die, freeze or lose their stores: nothing that was answered 200 is lost, nothing happens twice."""

import hashlib
import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from scrm.sandbox.callbacks.delivery import Sealer
from scrm.sandbox.callbacks.wire import Target
from scrm.sandbox.config import AppConfig
from tests.stack import APP, CORP_ID, Stack, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.enable_socket]

SEALER = Sealer(
    AppConfig(name="main", agentid=1000002, secret=APP["secret"], token=APP["token"], aes_key=APP["aes_key"]),
    CORP_ID,
)
QUICK_LEASE = {"SCRM_INBOX__LEASE_SECONDS": "2"}
WECOM_SECONDS = 5.0
INTAKE_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'scrm-intake'"


def message_xml(number: int) -> str:
    """A member's message to the app: its handler writes one row in ``messages``."""
    return (
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><FromUserName><![CDATA[staff1]]></FromUserName>"
        f"<CreateTime>{int(time.time())}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[hello {number}]]></Content><MsgId>{number}</MsgId><AgentID>1000002</AgentID></xml>"
    )


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@pytest.fixture(scope="module")
def web() -> Iterator[Stack]:
    """A deployment for tests that break nothing."""
    with Stack(["web"]) as stack:
        yield stack


class WeCom:
    """Posts like WeCom: 5 seconds, and whatever is not 200 is a failure."""

    def __init__(self, stack: Stack) -> None:
        self.port = Target.of(stack.callback_url).port
        self.taken: set[bytes] = set()
        self.slowest = 0.0
        self.failures = 0

    def post(self, text: str) -> int | None:
        """Status of one attempt; None when the connection broke or the time was over."""
        query, body = SEALER.seal(text, int(time.time()))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WECOM_SECONDS)
        started = time.monotonic()
        try:
            connection.request("POST", f"/wecom/callbacks/main?{query}", body, {"Content-Type": "text/xml"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            status = None
        finally:
            connection.close()
        self._note(text, status, time.monotonic() - started)
        return status

    def _note(self, text: str, status: int | None, seconds: float) -> None:
        self.slowest = max(self.slowest, seconds)
        if status == 200:
            self.taken.add(digest(text))
        else:
            self.failures += 1

    def send(self, first: int, count: int) -> None:
        """Several, each until it is taken."""
        for number in range(first, first + count):
            wait_until(partial(self._taken, message_xml(number)), 60)

    def _taken(self, text: str) -> bool:
        return self.post(text) == 200

    @contextmanager
    def load(self, threads: int = 8) -> Iterator[None]:
        """Keep posting different callbacks, one attempt each, for the length of a block."""
        over = threading.Event()

        def run(number: int) -> None:
            while not over.is_set():
                number += threads
                if self.post(message_xml(number)) is None:
                    time.sleep(0.02)  # nobody listens

        running = [threading.Thread(target=run, args=(1000 + n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in running:
                thread.join()


def stored(stack: Stack) -> set[bytes]:
    return {bytes(row[0]) for row in stack.sql("SELECT digest FROM callback_inbox")}


def counts(stack: Stack) -> dict[str, int]:
    return dict(stack.sql("SELECT state, count(*) FROM callback_inbox GROUP BY 1"))


def drained(stack: Stack, count: int, seconds: float) -> None:
    wait_until(lambda: counts(stack) == {"done": count}, seconds, lambda: f"{counts(stack)}")


def messages(stack: Stack) -> int:
    return stack.sql("SELECT count(*) FROM messages")[0][0]


def test_web_killed_after_the_commit_and_before_the_answer_leaves_one_row() -> None:
    with Stack(()) as stack:
        wecom, text = WeCom(stack), message_xml(1)
        stack.start("web", SCRM_CRASH_AT="callback_committed", SCRM_WEB__WORKERS="1")
        stack.wait_web()
        assert wecom.post(text) is None
        assert stored(stack) == {digest(text)}
        stack.kill("web")
        stack.start("web")
        stack.wait_web()
        assert wecom.post(text) == 200
        assert stack.sql("SELECT count(*) FROM callback_inbox") == [(1,)]


def test_postgres_restarted_under_load_loses_nothing_that_was_answered() -> None:
    with Stack(["web"]) as stack:
        wecom = WeCom(stack)
        with wecom.load():
            wait_until(lambda: len(wecom.taken) > 200, 60)
            stack.stop_store("postgres")
            wait_until(lambda: wecom.failures > 20, 60)
            before = len(wecom.taken)
            stack.start_store("postgres")
            wait_until(lambda: len(wecom.taken) > before + 200, 60)
        assert wecom.taken <= stored(stack)
        assert wecom.slowest < WECOM_SECONDS


def test_a_postgres_that_hangs_is_answered_in_time_and_comes_back() -> None:
    with Stack(["web"]) as stack:
        wecom = WeCom(stack)
        with wecom.load(threads=80):  # more than one process has threads
            wait_until(lambda: len(wecom.taken) > 100, 60)
            backends = [pid for (pid,) in stack.sql(INTAKE_BACKENDS)]
            freeze(backends, signal.SIGSTOP)
            wait_until(lambda: wecom.failures > 160, 60)
            freeze(backends, signal.SIGCONT)
            before = len(wecom.taken)
            wait_until(lambda: len(wecom.taken) > before + 100, 60)
        assert wecom.taken <= stored(stack)
        assert wecom.slowest < WECOM_SECONDS


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_cap_is_refused_by_the_real_server_and_it_goes_on(web: Stack, chunked: bool) -> None:
    wecom = WeCom(web)
    connection = http.client.HTTPConnection("127.0.0.1", wecom.port, timeout=WECOM_SECONDS)
    body = iter([b"x" * 65536] * 64) if chunked else b"x" * (4 << 20)
    with suppress(BrokenPipeError, ConnectionResetError):  # it may hang up before everything is sent
        connection.request("POST", "/wecom/callbacks/main", body, encode_chunked=chunked)
        assert connection.getresponse().status == 413
    connection.close()
    assert wecom.post(message_xml(2)) == 200


@pytest.mark.parametrize(
    "target", ["/wecom/callbacks/main?\xff=%ff", "/wecom/callbacks/%ff%00", "/wecom/callbacks/主"]
)
def test_odd_addresses_never_make_a_500(web: Stack, target: str) -> None:
    with socket.create_connection(("127.0.0.1", WeCom(web).port), 5) as raw:
        raw.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".encode())
        assert raw.recv(100).split()[1].startswith(b"4")


def freeze(pids: list[int], how: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, how)


def test_sigterm_under_load_loses_nothing() -> None:
    with Stack(["web"]) as stack:
        wecom = WeCom(stack)
        with wecom.load(threads=16):
            wait_until(lambda: len(wecom.taken) > 200, 60)
            stack.terminate("web")
            stack.start("web")
            stack.wait_web()
            before = len(wecom.taken)
            wait_until(lambda: len(wecom.taken) > before + 100, 60)
        assert wecom.taken <= stored(stack)


def test_the_same_callback_to_two_processes_at_once_is_one_row(web: Stack) -> None:
    wecom, text = WeCom(web), message_xml(1)
    before = stored(web)
    threads = [threading.Thread(target=wecom.post, args=(text,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wecom.failures == 0
    assert stored(web) - before == {digest(text)}


@pytest.mark.parametrize("place", ["job_popped", "batch_claimed", "batch_handled"])
def test_a_worker_killed_anywhere_in_a_batch_is_made_up_for(place: str) -> None:
    with Stack(["web", "clock"], environment=QUICK_LEASE) as stack:
        wecom = WeCom(stack)
        wecom.send(1, 20)
        stack.start("worker:events", SCRM_CRASH_AT=place)
        assert stack.wait_end("worker:events") == -signal.SIGKILL
        stack.start("worker:events")
        drained(stack, 20, 120)
        assert messages(stack) == 20


def test_a_worker_frozen_past_its_lease_is_overtaken_and_writes_nothing() -> None:
    with Stack(["web", "clock"], environment=QUICK_LEASE) as stack:
        WeCom(stack).send(1, 20)
        stack.start("worker:events", SCRM_STOP_AT="batch_handled")
        wait_until(lambda: "processing" in counts(stack), 60)
        frozen = stack.pid("worker:events")
        stack._running["frozen"] = stack._running.pop("worker:events")
        wait_until(lambda: state_of(frozen) == "T", 60)
        stack.start("worker:events")
        drained(stack, 20, 60)
        attempts = stack.sql("SELECT DISTINCT attempts FROM callback_inbox")
        versions = stack.sql("SELECT id, xmin::text FROM messages ORDER BY 1")
        stack.signal("frozen", signal.SIGCONT)
        time.sleep(3)
        assert stack.sql("SELECT id, xmin::text FROM messages ORDER BY 1") == versions
        assert messages(stack) == 20
        assert attempts == [(2,)]


def state_of(pid: int) -> str:
    """The kernel's letter for a process's state; T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_everything_drains_after_valkey_was_away_and_emptied() -> None:
    with Stack(["web", "clock", "worker:events"]) as stack:
        wecom = WeCom(stack)
        wecom.send(1, 20)
        drained(stack, 20, 60)
        stack.stop_store("valkey")
        wecom.send(100, 20)
        assert wecom.slowest < WECOM_SECONDS
        stack.start_store("valkey")
        stack.redis().flushall()
        drained(stack, 40, 120)
        wecom.send(200, 20)
        stack.redis().flushall()
        drained(stack, 60, 120)
        assert messages(stack) == 60

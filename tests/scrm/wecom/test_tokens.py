from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from scrm.kernel.clock import shifted
from scrm.wecom.errors import Denied, Retryable, TokenExpired
from scrm.wecom.store import SharedStore
from scrm.wecom.tokens import TokenStore
from tests.nursery import nursery
from tests.stack import wait_until

LIFE = 7200.0
AWAY = "redis://127.0.0.1:9/0"


class Fetcher:
    """Stands for gettoken at WeCom: counts, can be slow, can fail, can repeat the same token."""

    def __init__(self, *answers: object, seconds: float = 0.0) -> None:
        self.calls = 0
        self._answers = list(answers)
        self._seconds = seconds

    def __call__(self) -> tuple[str, float]:
        self.calls += 1
        time.sleep(self._seconds)
        answer = self._answers.pop(0) if self._answers else f"token{self.calls}"
        if isinstance(answer, Exception):
            raise answer
        return str(answer), LIFE


@pytest.fixture
def store(redis, settings):
    made = SharedStore(settings.redis_url.get_secret_value())
    yield made
    made.close()


def tokens(store, fetch, early=300.0) -> TokenStore:
    return TokenStore(store, "corp", fetch, early)


def test_many_threads_of_several_stores_fetch_once(store):
    fetch = Fetcher(seconds=0.1)
    several = [
        tokens(store, fetch) for _ in range(5)
    ]  # each stands for a process: they share nothing but Redis
    start = threading.Barrier(50)

    def get(number: int) -> str:
        start.wait()
        return several[number % 5].get()

    with ThreadPoolExecutor(50) as pool:
        got = set(pool.map(get, range(50)))
    assert (got, fetch.calls) == ({"token1"}, 1)


def test_a_token_is_renewed_before_it_ends_by_one_caller_while_others_go_on(store):
    fetch = Fetcher()
    one, two = tokens(store, fetch), tokens(store, fetch)
    assert one.get() == two.get() == "token1"
    with shifted(timedelta(seconds=LIFE - 299)):
        assert one.get() == "token2"
        assert two.get() == "token2"
    assert fetch.calls == 2


def test_an_early_renewal_that_fails_keeps_the_token_that_works(store):
    fetch = Fetcher("a", Retryable("gettoken", -1, "busy"))
    store_ = tokens(store, fetch)
    store_.get()
    with shifted(timedelta(seconds=LIFE - 200)):
        assert store_.get() == "a"
        assert store_.get() == "a"
    assert fetch.calls == 2  # and not with every call


def test_an_ended_token_is_never_given_out(store):
    fetch = Fetcher()
    one = tokens(store, fetch)
    one.get()
    with shifted(timedelta(seconds=LIFE + 1)):
        assert one.get() == "token2"


def test_a_refused_token_is_replaced_once_for_all(store):
    fetch = Fetcher(seconds=0.05)
    several = [tokens(store, fetch) for _ in range(3)]
    assert {one.get() for one in several} == {"token1"}
    with ThreadPoolExecutor(12) as pool:
        got = set(pool.map(lambda n: several[n % 3].renew("token1"), range(12)))
    assert (got, fetch.calls) == ({"token2"}, 2)


@pytest.mark.parametrize("url", [None, AWAY])
def test_a_token_refused_for_ever_is_fetched_twice_a_minute(store, url):
    fetch = Fetcher(*["same"] * 50)
    one = tokens(SharedStore(url) if url else store, fetch)
    one.get()
    assert one.renew("same") == "same"
    for _ in range(10):
        with pytest.raises(TokenExpired) as refused:
            one.renew("same")
        assert refused.value.retry_after == 60
    assert fetch.calls == 2


def test_the_guard_counts_over_all_processes(store):
    fetch = Fetcher(*["same"] * 50)
    for one in [tokens(store, fetch) for _ in range(5)]:
        with suppress(TokenExpired):
            one.renew("same")
    assert fetch.calls == 2


def test_a_fetch_that_never_reached_wecom_is_not_counted(store, monkeypatch):
    monkeypatch.setattr("scrm.wecom.tokens.FAILURE_SECONDS", 0.0)
    away = [Retryable("gettoken", None, "no connection") for _ in range(5)]
    one = tokens(store, Fetcher(*away))
    for _ in range(5):
        with pytest.raises(Retryable):
            one.get()
    assert one.get() == "token6"


def test_threads_that_waited_for_a_failed_fetch_share_its_failure(store):
    fetch = Fetcher(*[Denied("gettoken", 40001, "wrong secret")] * 10, seconds=0.05)
    one = tokens(store, fetch)
    with ThreadPoolExecutor(8) as pool:
        failed = [future.exception() for future in [pool.submit(one.get) for _ in range(8)]]
    assert {type(error) for error in failed} == {Denied}
    assert {error.errcode for error in failed} == {40001}
    assert fetch.calls == 1


def test_tokens_work_without_redis_and_after_it_was_emptied(store, redis):
    fetch = Fetcher()
    alone = tokens(SharedStore(AWAY), fetch)
    assert [alone.get() for _ in range(3)] == ["token1"] * 3
    one = tokens(store, fetch)
    one.get()
    redis.flushdb()
    assert one.get() == "token2"
    assert fetch.calls == 2


def test_a_lock_is_released_only_by_its_holder(store, redis):
    one = tokens(store, Fetcher())
    key = "scrm:token:{corp}:lock"
    with one._locked() as got:
        assert got
        redis.set(key, "somebody else", px=10_000)  # ours ended, another took it
    assert redis.get(key) == b"somebody else"


def test_a_lock_from_before_the_clock_was_set_back_is_nobodys(store, redis):
    fetch = Fetcher()
    redis.set(
        "scrm:token:{corp}:lock", "died", px=3 * 3_600_000
    )  # 20 seconds, and the three hours of the clock
    began = time.monotonic()
    assert tokens(store, fetch).get()
    assert time.monotonic() - began < 10
    redis.set("scrm:token:{corp}:lock", "alive", px=20_000)
    with tokens(store, Fetcher())._locked() as got:
        assert not got


def test_what_is_shared_is_unreadable_to_a_repr(store):
    one = tokens(store, Fetcher("SECRET"))
    one.get()
    assert "SECRET" not in repr(one._held)


WORKER = """
import pathlib, threading, time
from concurrent.futures import ThreadPoolExecutor
from config.settings import load_settings
from scrm.bootstrap import create_app
from scrm.wecom.client import wecom
app = create_app(load_settings())
with app.app_context():
    client = wecom()
pathlib.Path(READY).touch()
while not pathlib.Path(GO).exists():
    time.sleep(0.002)
start = threading.Barrier(10)
def call(_):
    start.wait()
    return client.get("externalcontact/get_follow_user_list")["errcode"]
with ThreadPoolExecutor(10) as pool:
    assert set(pool.map(call, range(10))) == {0}
"""


@pytest.mark.fault
def test_fifty_threads_in_five_processes_need_one_token(app, settings, sandbox, process_env, tmp_path):
    sandbox.population(members=1)
    go, ready = tmp_path / "go", [tmp_path / f"ready{number}" for number in range(5)]
    programs = [f"READY, GO = {str(mine)!r}, {str(go)!r}\n{WORKER}" for mine in ready]
    workers = [nursery().spawn(["-c", program], process_env, tmp_path / "log") for program in programs]
    wait_until(lambda: all(mine.exists() for mine in ready), 60, (tmp_path / "log").read_text)
    go.touch()
    assert [worker.wait(60) for worker in workers] == [0] * 5, (tmp_path / "log").read_text()
    assert sandbox.log_counts()["gettoken"] == {"0": 1}
    assert sandbox.log_counts()["externalcontact/get_follow_user_list"] == {"0": 50}

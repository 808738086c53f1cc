from __future__ import annotations

import io
import json
import logging
import threading
import traceback
from datetime import timedelta

import pytest
import structlog

from config.logging import configure_logging
from config.settings import Log, SettingsError
from scrm.kernel import metrics
from scrm.kernel.clock import utcnow
from scrm.wecom.client import Gateway, wecom
from scrm.wecom.errors import Deferred, NotFound, Retryable, Stop, TokenExpired, Unclear, WecomError
from scrm.wecom.models import Priority
from scrm.wecom.parallel import run_parallel
from scrm.wecom.queries import limits_left

FOLLOW_USERS = "externalcontact/get_follow_user_list"


@pytest.fixture
def client(app, sandbox, settings):
    """A client that waits 0.3 s for an answer."""
    sandbox.population(members=3, customers=2)
    quick = settings.wecom.model_copy(update={"read_timeout_seconds": 0.3})
    app.extensions["scrm_wecom"] = Gateway(settings.model_copy(update={"wecom": quick}))
    with app.app_context():
        yield wecom()
    app.extensions.pop("scrm_wecom")


def test_a_call_gets_its_token_and_the_decoded_answer(client, sandbox):
    answer = client.get(FOLLOW_USERS)
    assert (answer["errcode"], len(answer["follow_user"])) == (0, 3)
    client.get(FOLLOW_USERS)
    assert sandbox.log_counts()["gettoken"] == {"0": 1}


def test_a_body_is_sent_as_utf8_json_with_its_content_type(client, sandbox):
    client.post("externalcontact/add_corp_tag", {"group_name": "来源", "tag": [{"name": "展会 😀"}]})
    (entry,) = sandbox.log(api="externalcontact/add_corp_tag")
    assert entry["body"] == {"group_name": "来源", "tag": [{"name": "展会 😀"}]}


def test_a_file_is_uploaded_under_its_chinese_name(client, sandbox):
    answer = client.upload("image", "价目表.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert (answer["type"], bool(answer["media_id"])) == ("image", True)
    assert client.upload("uploadimg", "a.png", b"\x89PNG\r\n\x1a\n" + bytes(100))["url"].startswith("http")


def test_parameters_that_are_none_are_left_out(client, sandbox):
    client.get("externalcontact/list", userid=client.get(FOLLOW_USERS)["follow_user"][0], cursor=None)
    assert "cursor" not in sandbox.log(api="externalcontact/list")[0]["params"]


@pytest.mark.parametrize("fault", ["hang", "disconnect", "truncate", "html", "timeout_after_success"])
def test_no_readable_answer_is_unclear_within_the_time_out(client, sandbox, fault):
    client.get(FOLLOW_USERS)
    sandbox.fault(fault, api=FOLLOW_USERS, seconds=1.0)
    with pytest.raises(Unclear) as unclear:
        client.get(FOLLOW_USERS)
    assert unclear.value.errcode is None
    assert unclear.value.passing
    assert client.get(FOLLOW_USERS)["errcode"] == 0  # the connection is usable again


@pytest.mark.parametrize("fault", ["hang", "truncate", "html"])
def test_a_token_fetch_without_an_answer_ends_too(client, sandbox, fault):
    sandbox.fault(fault, api="gettoken", seconds=1.0)
    with pytest.raises(Retryable):
        client.get(FOLLOW_USERS)


def test_a_refused_token_is_renewed_and_the_call_repeated_exactly_once(client, sandbox):
    client.get(FOLLOW_USERS)
    sandbox.expire_tokens()
    assert client.get(FOLLOW_USERS)["errcode"] == 0
    assert sandbox.log_counts()["gettoken"] == {"0": 2}
    sandbox.fault("errcode", api=FOLLOW_USERS, errcode=40014, times=None)
    with pytest.raises(TokenExpired):
        client.get(FOLLOW_USERS)
    assert sandbox.log_counts()[FOLLOW_USERS]["40014"] <= 2


def test_an_unused_connection_is_no_reason_to_fail(client, sandbox):
    wires = [client.gateway.wire for _ in range(2)]
    assert wires[0] is wires[1]
    other: list[object] = []
    thread = threading.Thread(target=lambda: other.append(client.gateway.wire))
    thread.start()
    thread.join()
    assert other[0] is not wires[0]


def test_a_connection_that_cannot_be_made_is_retryable(app, settings, sandbox):
    away = settings.wecom.model_copy(update={"base_url": "http://127.0.0.1:9"})
    app.extensions["scrm_wecom"] = Gateway(settings.model_copy(update={"wecom": away}))
    with app.app_context(), pytest.raises(Retryable) as error:
        wecom().get(FOLLOW_USERS)
    app.extensions.pop("scrm_wecom")
    assert error.value.errcode is None


def test_an_app_that_is_not_configured_is_named(app):
    with app.app_context(), pytest.raises(SettingsError, match="'ghost'"):
        wecom("ghost")


def test_calls_are_counted_by_api_and_answer(client, sandbox):
    def count(answer: str) -> float:
        return metrics.WECOM_CALLS.labels(FOLLOW_USERS, answer)._value.get()

    before = {answer: count(answer) for answer in ("0", "45033", "unclear")}
    client.get(FOLLOW_USERS)
    sandbox.fault("truncate", api=FOLLOW_USERS)
    with pytest.raises(Unclear):
        client.get(FOLLOW_USERS)
    sandbox.fault("errcode", api=FOLLOW_USERS, errcode=45033)
    with pytest.raises(WecomError):
        client.get(FOLLOW_USERS)
    assert {answer: count(answer) - n for answer, n in before.items()} == {"0": 1, "45033": 1, "unclear": 1}


def test_parallel_calls_keep_their_order_and_give_errors_as_values(client, sandbox):
    userid = client.get(FOLLOW_USERS)["follow_user"][0]
    urgent = client.with_options(priority=Priority.REPLY)
    got = run_parallel(
        [
            lambda: urgent.get("user/get", userid=userid)["userid"],
            lambda: urgent.get("externalcontact/get", external_userid="wmNobody"),
            lambda: urgent.post("externalcontact/del_contact_way", {}),
        ]
    )
    assert got[0] == userid
    assert [type(error) for error in got[1:]] == [NotFound, Stop]
    assert run_parallel([]) == []


def test_a_defect_in_a_parallel_call_is_raised_after_all_have_ended(client):
    ended: list[int] = []

    def fail():
        raise LookupError("a defect")

    with pytest.raises(LookupError):
        run_parallel([fail, lambda: ended.append(1), lambda: ended.append(2)])
    assert sorted(ended) == [1, 2]


def test_neither_secret_nor_token_reaches_logs_exceptions_or_tracebacks(client, sandbox, settings, caplog):
    for name in ("urllib3", "urllib3.connectionpool", "wechatpy"):
        caplog.set_level(logging.DEBUG, logger=name)
    caplog.set_level(logging.DEBUG)
    texts = []
    client.get(FOLLOW_USERS)
    token = client.gateway.tokens.get()
    for fault in ("hang", "disconnect", "truncate", "html", "errcode"):
        sandbox.fault(fault, api=FOLLOW_USERS, seconds=1.0)
        with pytest.raises(WecomError) as error:
            client.get(FOLLOW_USERS)
        texts.append("".join(traceback.format_exception(error.value)))
        texts.append(repr(error.value) + repr(error.value.__context__) + repr(vars(error.value)))
    sandbox.fault("disconnect", api="gettoken")
    with pytest.raises(WecomError) as error:
        client.gateway.wire.fetch_access_token()
    texts += ["".join(traceback.format_exception(error.value)), repr(client), caplog.text]
    everything = "".join(texts)
    assert "connectionpool" in caplog.text  # urllib3 did log the addresses
    assert "access_token=***" in caplog.text
    assert settings.apps["main"].secret.get_secret_value() not in everything
    assert token not in everything


def test_structured_logs_of_a_failing_call_hold_no_token(client, sandbox, monkeypatch):
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.handlers, root.level, structlog.get_config())
    monkeypatch.setattr("sys.stderr", stream)
    try:
        configure_logging(Log(level="DEBUG", format="json"), "test")
        logging.getLogger("urllib3").setLevel(logging.DEBUG)
        sandbox.fault("disconnect", api=FOLLOW_USERS)
        try:
            client.get(FOLLOW_USERS)
        except WecomError:
            structlog.get_logger("test").exception("job failed")
    finally:
        root.handlers, level, config = before
        root.setLevel(level)
        structlog.configure(**config)
        structlog.contextvars.clear_contextvars()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert any("Unclear" in line.get("exception", "") for line in lines)
    assert client.gateway.tokens.get() not in stream.getvalue()


def test_what_the_limits_leave_is_told_by_api(client):
    api = "externalcontact/add_corp_tag"

    def hour_left() -> int:
        (left,) = limits_left(apis=[api])
        return next(window.left for window in left.windows if window.seconds == 3600)

    before = hour_left()
    client.post(api, {"group_name": "来源", "tag": [{"name": "展会"}]})
    assert hour_left() == before - 1


def test_every_api_that_was_called_is_told(client):
    client.get(FOLLOW_USERS)
    apis = {left.api: left for left in limits_left()}
    assert FOLLOW_USERS in apis
    assert apis["media/uploadimg"].windows[-1].source == "1.4"  # known from the table, never called
    assert apis["gettoken"].app == "main"  # counted per app
    assert apis[FOLLOW_USERS].app is None


def test_a_call_whose_time_is_over_does_not_leave(client, sandbox):
    client.get(FOLLOW_USERS)
    late = client.with_options(leave_by=utcnow() - timedelta(seconds=1))
    with pytest.raises(Deferred, match="too late"):
        late.post("externalcontact/add_corp_tag", {"group_name": "来源", "tag": [{"name": "展会"}]})
    assert sandbox.log(api="externalcontact/add_corp_tag", everything=True) == []


def test_a_token_that_took_too_long_to_get_makes_the_call_too_late(client, sandbox):
    sandbox.fault("latency", api="gettoken", seconds=0.25)
    soon = client.with_options(leave_by=utcnow() + timedelta(seconds=0.1))
    with pytest.raises(Deferred):
        soon.get(FOLLOW_USERS)
    assert sandbox.log_counts()["gettoken"] == {"0": 1}
    assert FOLLOW_USERS not in sandbox.log_counts()


def test_silence_of_gettoken_is_put_off_and_says_that_nothing_left(client, sandbox):
    sandbox.fault("errcode", api="gettoken", errcode=-1, times=None)
    with pytest.raises(Retryable) as problem:
        client.get(FOLLOW_USERS)
    assert problem.value.errcode is None  # -1 is not an answer to this call
    assert FOLLOW_USERS not in sandbox.log_counts()

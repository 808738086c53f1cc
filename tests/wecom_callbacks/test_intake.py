"""The door: everything about a callback is checked before it becomes a row, and 200 means that the row is durable."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select

from scrm.bootstrap import create_app
from tests.conftest import make_settings
from tests.wecom_callbacks.conftest import Sender, xml_of
from wecom_callbacks.models import InboxRow, InboxState, Lane

WELCOME = (
    "<ChangeType><![CDATA[add_external_contact]]></ChangeType><WelcomeCode><![CDATA[CODE]]></WelcomeCode>"
)
ENTITY_BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><xml><A>&b;</A></xml>'
)
DEEP_XML = "<a>" * 9000 + "</a>" * 9000  # the deepest that fits under the size cap


def rows(session):
    return session.scalars(select(InboxRow).order_by(InboxRow.id)).all()


def refused(app_name, reason):
    return (
        REGISTRY.get_sample_value("scrm_callbacks_refused_total", {"app": app_name, "reason": reason}) or 0.0
    )


def test_a_callback_becomes_one_row_before_it_is_answered(sender, committed):
    message = xml_of(rest="<UserID><![CDATA[张三]]></UserID>")
    answer = sender.post(message)
    assert (answer.status_code, answer.data) == (200, b"success")
    (row,) = rows(committed)
    assert row.digest == hashlib.sha256(message.encode()).digest()
    assert (row.app, row.lane, row.state, row.body) == ("main", Lane.EVENTS, InboxState.RECEIVED, message)
    assert row.attempts == 0


@pytest.mark.parametrize(
    ("message", "lane"),
    [
        (xml_of(rest=WELCOME), Lane.URGENT),
        (xml_of("kf_msg_or_event", "<Token>T</Token>"), Lane.URGENT),
        (xml_of(rest="<ChangeType>del_follow_user</ChangeType>"), Lane.EVENTS),
        (xml_of("never_heard_of"), Lane.EVENTS),
    ],
)
def test_what_cannot_wait_takes_the_urgent_lane(sender, committed, message, lane):
    assert sender.post(message).status_code == 200
    assert [row.lane for row in rows(committed)] == [lane]


def tampered(sender):
    encrypted = sender.crypto.encrypt(xml_of().encode())
    return sender.post_raw(sender.envelope(encrypted), {**sender.query(encrypted), "nonce": "1"})


def unsigned(sender):
    return sender.post_raw(
        sender.envelope(sender.crypto.encrypt(xml_of().encode())), {"timestamp": "1", "nonce": "1"}
    )


def with_entities_outside(sender):
    encrypted = sender.crypto.encrypt(xml_of().encode())
    bomb = ENTITY_BOMB.replace("<A>&b;</A>", f"<Encrypt>{encrypted.decode()}</Encrypt><A>&b;</A>")
    return sender.post_raw(bomb.encode(), sender.query(encrypted))


def with_wrong_padding(sender):
    encrypted = bytearray(sender.crypto.encrypt(xml_of().encode()))
    other = Sender(sender.client, aes_key="a" * 43)
    return sender.post_encrypted(other.crypto.encrypt(bytes(encrypted)))


BAD = {
    "bad signature": (tampered, 403, "bad_signature"),
    "parameters missing": (unsigned, 400, "incomplete"),
    "stale": (lambda s: s.post_encrypted(s.crypto.encrypt(xml_of().encode()), age=3600), 403, "stale"),
    "from the future": (
        lambda s: s.post_encrypted(s.crypto.encrypt(xml_of().encode()), age=-3600),
        403,
        "stale",
    ),
    "wrong receive id": (
        lambda s: s.post_encrypted(Sender(s.client, receive_id="wwother").crypto.encrypt(xml_of().encode())),
        403,
        "wrong_receiver",
    ),
    "bad padding": (with_wrong_padding, 400, "bad_padding"),
    "truncated AES": (
        lambda s: s.post_encrypted(s.crypto.encrypt(xml_of().encode())[:-8]),
        400,
        "bad_encryption",
    ),
    "no base64": (lambda s: s.post_encrypted(b"@@@@"), 400, "bad_encryption"),
    "not XML outside": (lambda s: s.post_raw(b"hello", {}), 400, "not_xml"),
    "empty": (lambda s: s.post_raw(b"", {}), 400, "not_xml"),
    "not XML inside": (lambda s: s.post("hello"), 400, "not_xml"),
    "not UTF-8 inside": (lambda s: s.post(b"<xml><A>\xff\xfe</A></xml>"), 400, "not_xml"),
    "entity bomb inside": (lambda s: s.post(ENTITY_BOMB), 400, "forbidden_xml"),
    "entity bomb outside": (with_entities_outside, 400, "forbidden_xml"),
    "deep XML inside": (lambda s: s.post(f"<xml>{'<a>' * 5000}{'</a>' * 5000}</xml>"), 400, "too_deep"),
    "deep XML outside": (lambda s: s.post_raw(DEEP_XML.encode(), {}), 400, "too_deep"),
    "200k-deep XML": (lambda s: s.post_raw(b"<a>" * 200_000 + b"</a>" * 200_000, {}), 413, "too_large"),
    "200k-deep XML inside": (lambda s: s.post("<a>" * 200_000 + "</a>" * 200_000), 413, "too_large"),
    "over the cap": (lambda s: s.post_raw(b"x" * 65537, {}), 413, "too_large"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_counted_and_never_a_row(sender, committed, case):
    send, status, reason = BAD[case]
    send(sender)  # imports and caches are not what is measured
    before = refused("main", reason)
    started = time.thread_time()  # not what others on the machine take
    answer = send(sender)
    seconds = time.thread_time() - started
    assert answer.status_code == status
    assert answer.data.count(b"\n") == 1
    assert answer.data.endswith(b"\n")
    assert refused("main", reason) == before + 1
    assert rows(committed) == []
    assert seconds < 0.5


@pytest.mark.parametrize("name", ["other", "main/x", "", "%00", "../main", "主"])
def test_an_unknown_app_is_404_and_its_name_goes_nowhere(sender, committed, name):
    before = refused("unknown", "unknown_app")
    sender.url = f"/wecom/callbacks/{name}"
    assert sender.post(xml_of()).status_code == 404
    assert refused("unknown", "unknown_app") == before + 1
    assert rows(committed) == []


def test_a_body_over_the_cap_is_refused_before_it_is_read(app):
    class Unread:
        def read(self, *_):
            raise AssertionError("was read")

    answered = []
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/wecom/callbacks/main", "QUERY_STRING": "",
        "CONTENT_LENGTH": "65537", "wsgi.input": Unread(),
    }  # fmt: skip
    app(environ, lambda status, headers: answered.append(status))
    assert answered == ["413 Content Too Large"]


def test_a_body_without_a_length_is_read_up_to_the_cap_only(app):
    asked = []

    class Endless:
        def read(self, size):
            asked.append(size)
            return b"x" * size

    answered = []
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/wecom/callbacks/main", "QUERY_STRING": "", "wsgi.input": Endless(),
    }  # fmt: skip
    app(environ, lambda status, headers: answered.append(status))
    assert (asked, answered) == ([65537], ["413 Content Too Large"])


def test_the_same_callback_three_times_at_once_is_one_row(sender, committed):
    encrypted = sender.crypto.encrypt(xml_of(rest=WELCOME).encode())
    gate = threading.Barrier(3)

    def send(_):
        gate.wait()
        return sender.post_encrypted(encrypted).status_code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(send, range(3))) == [200, 200, 200]
    assert len(rows(committed)) == 1


def test_two_adds_of_one_second_that_differ_in_the_customer_only_are_two_rows(sender, committed):
    for customer in ("wmA", "wmB"):
        assert sender.post(xml_of(rest=f"<ExternalUserID>{customer}</ExternalUserID>")).status_code == 200
    assert len(rows(committed)) == 2


def test_a_crowd_is_stored_whole(sender, committed):
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda n: sender.post(xml_of(rest=f"<N>{n}</N>")).status_code, range(300)))
    assert codes == [200] * 300
    assert committed.scalar(select(func.count()).select_from(InboxRow)) == 300


def test_a_stored_callback_wakes_its_lane_once(sender, committed, redis):
    for number in range(5):
        sender.post(xml_of(rest=f"<N>{number}</N>"))
    until = time.monotonic() + 30
    while not redis.llen("rq:queue:events") and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)
    assert redis.llen("rq:queue:events") == 1
    assert redis.llen("rq:queue:urgent") == 0


def echo(sender, text=b"1616140317555161061", **changes):
    encrypted = sender.crypto.encrypt(text)
    query = {**sender.query(encrypted), "echostr": encrypted.decode(), **changes}
    return sender.client.get(sender.url, query_string={k: v for k, v in query.items() if v is not None})


def test_the_echo_comes_back_bare(sender, session):
    answer = echo(sender)
    assert (answer.status_code, answer.data) == (200, b"1616140317555161061")


def test_an_echo_whose_plus_signs_were_not_escaped_is_understood(sender, session):
    encrypted = next(s for s in iter(lambda: sender.crypto.encrypt(b"123"), None) if b"+" in s)
    query = "&".join(f"{k}={v}" for k, v in sender.query(encrypted).items())
    assert sender.client.get(f"{sender.url}?{query}&echostr={encrypted.decode()}").data == b"123"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"msg_signature": "0" * 40}, 403),
        ({"echostr": None}, 400),
        ({"nonce": None}, 400),
        ({"timestamp": "1"}, 403),
    ],
)
def test_a_wrong_echo_is_refused(sender, session, changes, status):
    assert echo(sender, **changes).status_code == status


def test_the_official_echo_request_is_answered(database):
    app = create_app(make_settings(database, 1, callbacks=callbacks(freshness_seconds=0)))
    answer = app.test_client().get(
        "/wecom/callbacks/main?msg_signature=5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3&timestamp=1409659589"
        "&nonce=263014780&echostr=P9nAzCzyDtyTWESHep1vC5X9xho%2FqYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp%2B4RPcs8TgAE7OaBO"
        "%2BFZXvnaqQ%3D%3D"
    )
    assert answer.data == b"1616140317555161061"


def callbacks(**changes):
    return {
        "max_body_bytes": 65536, "max_xml_depth": 24, "freshness_seconds": 600, "commit_timeout_seconds": 4.0, **changes,
    }  # fmt: skip


def test_a_store_that_is_away_is_503_in_time_and_then_at_once(database, unused_folder):
    away = make_settings(
        database, 1,
        database_url=f"postgresql+psycopg://postgres@/scrm?host={unused_folder}",
        callbacks=callbacks(commit_timeout_seconds=1.0),
    )  # fmt: skip
    sender = Sender(create_app(away).test_client())
    started = time.perf_counter()
    assert sender.post(xml_of()).status_code == 503
    assert time.perf_counter() - started < 5
    started = time.perf_counter()
    assert sender.post(xml_of()).status_code == 503
    assert time.perf_counter() - started < 1
    assert refused("main", "store_away") >= 2


@pytest.fixture
def unused_folder(tmp_path):
    return tmp_path

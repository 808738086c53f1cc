"""One post: over in time whatever the receiver does, to the checked address only, with the name verified."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from scrm.webhooks.service.addresses import Rules
from scrm.webhooks.service.lines import Lines
from scrm.webhooks.service.posting import Post, retry_after
from tests.scrm.webhooks.conftest import LOOPBACK

RULES = Rules(networks=LOOPBACK)
HEADERS = {"Content-Type": "application/json", "webhook-id": "evt_1"}


def post(url, *, seconds=5.0, ca_file="", rules=RULES, lines=None):
    """Post with somebody watching the time, as the job does."""
    own = Lines()
    made = Post(
        url,
        own if lines is None else lines,
        rules,
        connect_seconds=min(2.0, seconds),
        seconds=seconds,
        ca_file=ca_file,
    )
    over = threading.Event()

    def watch():
        while not over.wait(0.02):
            made.abort_if_late()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return made.run(b'{"type":"x"}', HEADERS)
    finally:
        over.set()
        watcher.join()
        own.close_old(0)


@contextmanager
def listening(serve):
    """A bare TCP server on this machine that treats each connection with ``serve``; yields its port."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(5)

    def accept():
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(5)
            with suppress(OSError):
                serve(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "delivered"),
    [
        (200, True),
        (204, True),
        (299, True),
        (301, False),
        (308, False),
        (400, False),
        (404, False),
        (500, False),
    ],
)
def test_only_a_2xx_is_a_success(receiver, status, delivered):
    receiver.answer = lambda _: (status, {"Location": receiver.url + "&second"})
    answer = post(receiver.url)
    assert (answer.status, answer.delivered) == (status, delivered)
    assert len(receiver.requests) == 1  # a redirect is not followed


def test_the_request_says_what_the_receiver_needs(receiver):
    post(receiver.url)
    [request] = receiver.requests
    assert request.body == b'{"type":"x"}'
    assert request.headers["host"] == f"127.0.0.1:{receiver.server.server_port}"
    assert request.headers["webhook-id"] == "evt_1"
    assert "cookie" not in request.headers


def test_a_receiver_that_says_one_byte_at_a_time_gets_no_longer():
    def drip(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")  # and this is not the end of the headers
        for byte in b"X: y\r\n" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    with listening(drip) as port:
        started = time.monotonic()
        answer = post(f"http://127.0.0.1:{port}/", seconds=0.3)
        assert time.monotonic() - started < 10
    assert (answer.status, answer.error) == (None, "no answer in time")


def test_a_handshake_that_never_ends_is_cut_off_too():
    def say_nothing(connection):
        connection.recv(65536)
        while connection.recv(65536):
            pass

    with listening(say_nothing) as port:
        started = time.monotonic()
        answer = post(f"https://127.0.0.1:{port}/", seconds=0.3)
        assert time.monotonic() - started < 10
    assert (answer.status, answer.error) == (None, "no answer in time")


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"SSH-2.0-x\r\n"])
def test_nonsense_is_a_failure_without_repeating_it(said):
    def babble(connection):
        connection.recv(65536)
        connection.sendall(said)

    with listening(babble) as port:
        answer = post(f"http://127.0.0.1:{port}/")
    assert answer.status is None
    assert answer.error.startswith("no ")
    assert "nonsense" not in answer.error


def test_an_endless_body_is_not_read():
    sent = []

    def flood(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while len(sent) < 10_000:
            sent.append(connection.send(b"x" * 65536))

    with listening(flood) as port:
        answer = post(f"http://127.0.0.1:{port}/")
    assert answer.status == 200
    assert len(sent) < 1000


def test_nobody_there_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = post(f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.error) == (None, "no connection: Connection refused")


def test_an_address_that_became_forbidden_is_not_asked(receiver):
    answer = post(receiver.url, rules=Rules())
    assert "no public address" in answer.error
    assert receiver.requests == []


def test_a_name_that_changes_between_check_and_connection_gains_nothing(receiver, monkeypatch):
    """DNS rebinding: the second question would be answered with an address inside."""
    real, asked = socket.getaddrinfo, []

    def lookup(host, port, *args, **kwargs):
        if host != "rebinding.example":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.6.6.6", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    answer = post(f"http://rebinding.example:{receiver.server.server_port}/")
    assert answer.status == 204
    assert asked == ["rebinding.example"]
    assert receiver.requests[0].headers["host"] == f"rebinding.example:{receiver.server.server_port}"


def test_name_servers_that_do_not_answer_hold_nobody_longer_than_a_post_may_take(monkeypatch):
    silence = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: silence.wait(60) or [])
    began = time.monotonic()
    answer = post("https://silent.example/", seconds=0.3)
    silence.set()
    assert time.monotonic() - began < 10
    assert (answer.status, answer.error) == (
        None, "the name silent.example was not resolved in time; the name servers do not answer",
    )  # fmt: skip


def test_the_certificate_must_name_the_receiver(over_tls, certificate):
    port, trusted = over_tls.server.server_port, str(certificate[0])
    assert post(f"https://hooks.example:{port}/x", ca_file=trusted).status == 204
    wrong = post(f"https://other.example:{port}/x", ca_file=trusted)
    assert wrong.status is None
    assert "Hostname mismatch" in wrong.error
    assert "self-signed" in post(f"https://hooks.example:{port}/x").error
    assert len(over_tls.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("120", 120), (" 0 ", 0), ("999999", 86400), ("-5", None), ("soon", None), ("1e9", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Fri, 31 Dec 2999 23:59:59 GMT", 86400), ("9" * 400, 86400), ("٣", None),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert retry_after(header) == seconds

"""Connections to a receiver are used again, and never to an address that was not just checked."""

import socket
import threading
import time
from contextlib import suppress
from ipaddress import ip_network

import pytest

from scrm.kernel.db import transaction
from scrm.kernel.events import publish
from scrm.webhooks.service import lines as keeping
from scrm.webhooks.service.addresses import Rules
from scrm.webhooks.service.lines import Lines
from tags.events import TagsChanged
from tests.scrm.webhooks.conftest import LOOPBACK, deliver_all, subscribe_to
from tests.scrm.webhooks.test_posting import post


@pytest.fixture
def lines():
    made = Lines()
    yield made
    made.close_old(0)


@pytest.fixture
def meaning(monkeypatch):
    """meaning(address): from now on every .example name means it."""
    real, means = socket.getaddrinfo, ["127.0.0.1"]

    def lookup(host, port, *args, **kwargs):
        return real(means[0] if str(host).endswith(".example") else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    def say(address):
        means[0] = address

    return say


def many(url, lines, times=5, **how):
    return [post(url, lines=lines, **how).status for _ in range(times)]


def test_posts_to_one_receiver_share_a_connection(receiver, lines):
    assert many(receiver.url, lines) == [204] * 5
    assert (len(receiver.requests), len(receiver.connections)) == (5, 1)


def test_the_same_over_tls_with_the_certificate_checked_once_for_its_name(over_tls, certificate, lines):
    port, trusted = over_tls.server.server_port, str(certificate[0])
    assert many(f"https://hooks.example:{port}/x", lines, ca_file=trusted) == [204] * 5
    assert len(over_tls.connections) == 1
    assert many(f"https://other.example:{port}/x", lines, 1, ca_file=trusted) == [None]
    assert many(f"https://hooks.example:{port}/x", lines, 1) == [None], (
        "other authorities, another connection"
    )
    assert len(over_tls.requests) == 5


def test_a_name_that_means_another_address_now_gets_another_connection(receiver, lines, meaning):
    url = f"http://hooks.example:{receiver.server.server_port}/"
    both = Rules(networks=(*LOOPBACK, ip_network("::1/128")))
    assert many(url, lines, 2, rules=both) == [204, 204]
    meaning("::1")  # where nobody listens
    answer = post(url, lines=lines, rules=both)
    assert answer.error.startswith("no connection")
    assert len(receiver.requests) == 2


def test_an_address_that_became_forbidden_is_not_asked_over_a_connection_that_stands(receiver, lines):
    assert many(receiver.url, lines, 1) == [204]
    refused = post(receiver.url, lines=lines, rules=Rules())
    assert "no public address" in refused.error
    assert len(receiver.requests) == 1


def test_a_connection_that_the_receiver_closed_is_replaced(receiver, lines):
    many(receiver.url, lines, 1)
    for connection in receiver.connections:
        connection.shutdown(socket.SHUT_RDWR)
    assert many(receiver.url, lines, 2) == [204, 204]
    assert len(receiver.connections) == 2


def test_one_that_is_closed_in_the_moment_of_sending_is_replaced_too(receiver, lines, monkeypatch):
    many(receiver.url, lines, 1)
    monkeypatch.setattr(keeping.Line, "ended", lambda _: False)  # it looked well a moment ago
    for connection in receiver.connections:
        connection.shutdown(socket.SHUT_RDWR)
    assert many(receiver.url, lines, 1) == [204]


@pytest.mark.parametrize("headers", [{"Connection": "close"}, {"Transfer-Encoding": "chunked"}])
def test_answers_that_have_no_clear_end_use_their_connection_up(receiver, lines, headers):
    receiver.answer = lambda _: (200, headers)
    for _ in range(3):
        post(receiver.url, lines=lines, seconds=0.3)
    assert len(receiver.connections) == 3
    assert lines.idle == []


def test_what_a_receiver_says_unasked_is_never_taken_for_the_next_answer(lines):
    said, unasked = [], threading.Event()

    def serve(server):
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                said.append(connection)
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                time.sleep(0.05)
                connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
                unasked.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        for _ in range(3):
            assert many(url, lines, 1) == [200]
            assert unasked.wait(60)
            unasked.clear()
    assert len(said) == 3
    for connection in said:
        connection.close()


def test_idle_connections_end_after_a_while_and_are_few(make_receiver, lines, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_IDLE", 2)
    receivers = [make_receiver() for _ in range(3)]
    for each in receivers:
        many(each.url, lines, 1)
    assert [line.where.port for line in lines.idle] == [each.server.server_port for each in receivers[1:]]
    lines.close_old(0)
    assert lines.idle == []


def test_the_job_uses_them(session, app, receiver):
    subscribe_to(receiver.url)
    for customer_id in range(40):
        with transaction():
            publish(TagsChanged(customer_id, (3,), (), "rule:1"))
    deliver_all(app)
    assert len(receiver.requests) == 40
    assert len(receiver.connections) <= 8  # [webhooks] share

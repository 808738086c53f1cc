"""Deliveries through a proxy: it is told the address that was checked, and reads nothing."""

import base64
import socket
import threading
import time
from contextlib import suppress

import pytest
from pydantic import SecretStr, ValidationError

from config.settings import load_settings
from scrm.webhooks.service.addresses import Rules
from scrm.webhooks.service.dialing import Proxy
from tests.scrm.webhooks.conftest import LOOPBACK
from tests.scrm.webhooks.test_posting import post

PUBLIC = "93.184.216.34"


class RealProxy:
    """An HTTP proxy on this machine that takes every way to lead to ``port`` here; ``refusal`` is said instead."""

    def __init__(self):
        self.asked, self.port, self.refusal = [], 0, b""
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def address(self):
        return Proxy("127.0.0.1", self.server.getsockname()[1], "Basic eDp5")

    def serve(self):
        with suppress(OSError):
            while True:
                client, _ = self.server.accept()
                threading.Thread(target=self.lead, args=(client,), daemon=True).start()

    def lead(self, client):
        with client, suppress(OSError):
            self.asked.append(client.recv(65536))
            if self.refusal:
                client.sendall(self.refusal)
                return
            with socket.create_connection(("127.0.0.1", self.port)) as receiver:
                client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
                threading.Thread(target=pump, args=(receiver, client), daemon=True).start()
                pump(client, receiver)


def pump(source, target):
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@pytest.fixture
def public(monkeypatch):
    """Every .example name means a public address, to which no test could connect."""
    real = socket.getaddrinfo

    def lookup(host, port, *args, **kwargs):
        return real(PUBLIC if str(host).endswith(".example") else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.fixture
def proxy():
    made = RealProxy()
    yield made
    made.server.close()


def through(made, url, **how):
    return post(url, rules=Rules(proxy=made.address), **how)


def test_the_proxy_is_asked_for_the_checked_address_and_the_certificate_is_the_receivers(
    proxy, over_tls, certificate, public
):
    proxy.port = over_tls.server.server_port
    answer = through(proxy, f"https://hooks.example:{proxy.port}/x?key=1", ca_file=str(certificate[0]))
    assert (answer.status, answer.error) == (204, None)
    [asked] = proxy.asked
    head = asked.decode().split("\r\n")
    assert head[:2] == [f"CONNECT {PUBLIC}:{proxy.port} HTTP/1.1", f"Host: {PUBLIC}:{proxy.port}"]
    assert "Proxy-Authorization: Basic eDp5" in head
    assert over_tls.requests[0].path == "/x?key=1"
    assert over_tls.requests[0].headers["host"] == f"hooks.example:{proxy.port}"
    assert "proxy-authorization" not in over_tls.requests[0].headers


def test_a_proxy_that_leads_elsewhere_is_found_out(proxy, over_tls, certificate, public):
    proxy.port = over_tls.server.server_port
    answer = through(proxy, f"https://other.example:{proxy.port}/", ca_file=str(certificate[0]))
    assert "Hostname mismatch" in answer.error
    assert over_tls.requests == []


def test_what_is_not_allowed_is_not_asked_of_the_proxy_either(proxy):
    answer = post("https://127.0.0.1/", rules=Rules(proxy=proxy.address))
    assert "no public address" in answer.error
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy answered 407"),
        (b"HTTP/1.1 403\r\n\r\n", "the proxy answered 403"),
        (b"SSH-2.0-x\r\n\r\n", "the proxy answered nonsense"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 x\r\n\r\n", "the proxy said more than it may"),
        (b"HTTP/1.1 200 OK\r\n", "the proxy ended the connection"),
    ],
)
def test_a_proxy_that_refuses_is_no_success(proxy, public, said, reason):
    proxy.refusal = said
    answer = through(proxy, "https://hooks.example/")
    assert (answer.status, answer.error) == (None, f"no connection: {reason}")


def test_a_proxy_that_says_nothing_gets_no_longer_than_a_receiver(proxy, public):
    proxy.port = proxy.server.getsockname()[1]
    silence = threading.Event()
    proxy.lead = lambda client: silence.wait(60)
    began = time.monotonic()
    answer = through(proxy, "https://hooks.example/", seconds=0.3)
    silence.set()
    assert time.monotonic() - began < 30
    assert (answer.status, answer.error) == (None, "no answer in time")


def test_near_addresses_are_asked_directly(receiver):
    nobody = Proxy("127.0.0.1", 1)
    assert post(receiver.url, rules=Rules(networks=LOOPBACK, proxy=nobody)).status == 204


def test_how_a_proxy_is_written():
    assert Proxy.of("") is None
    assert Proxy.of("http://proxy.corp:3128") == Proxy("proxy.corp", 3128)
    known = Proxy.of("http://us%40er:p%3Aw@[::1]:8080")
    assert (known.host, known.port) == ("::1", 8080)
    assert base64.b64decode(known.authorization.removeprefix("Basic ")) == b"us@er:p:w"


@pytest.mark.parametrize(
    "given", ["proxy:3128", "https://proxy:1", "http://proxy", "http://a b:1", "socks5://x:1"]
)
def test_what_is_no_proxy_is_refused_at_the_start(settings, given):
    with pytest.raises(ValidationError, match="http://host:port"):
        type(settings.webhooks).model_validate({**settings.webhooks.model_dump(), "proxy": SecretStr(given)})
    assert load_settings().webhooks.proxy.get_secret_value() == ""

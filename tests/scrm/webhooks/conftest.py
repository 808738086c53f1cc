"""A receiver of webhooks on this machine, and endpoints that name it."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest
from sqlalchemy import select

from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.kernel.permissions import Actor, Permission, Scope
from scrm.kernel.settings import EXTENSION
from scrm.webhooks.jobs import EXTENSION as COURIER
from scrm.webhooks.jobs import deliver
from scrm.webhooks.models import WebhookDelivery, WebhookEndpoint
from scrm.webhooks.service.endpoints import create_endpoint

LOOPBACK = (ip_network("127.0.0.0/8"),)
EVERYBODY = Actor("test", frozenset(Permission), Scope.all())


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Receiver:
    """A real HTTP server; ``answer`` says how it answers: a status, or (status, headers)."""

    server: ThreadingHTTPServer
    answer: Callable[[Received], object] = lambda _: 204
    connections: list[object] = field(default_factory=list)  # accepted, oldest first
    requests: list[Received] = field(default_factory=list)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/hooks?key=1"

    def bodies(self):
        return [each.json for each in self.requests]

    def ids(self):
        return [each.headers["webhook-id"] for each in self.requests]


def started_receiver():
    """A receiver that listens; stop it with ``receiver.server.shutdown()``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay, unless the sender or an answer says otherwise
        timeout = 5

        def setup(self):
            receiver.connections.append(self.request)
            super().setup()

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Received(self.path, headers, body, time.monotonic())
            receiver.requests.append(got)
            answered = receiver.answer(got)
            status, more = answered if isinstance(answered, tuple) else (answered, {})
            try:
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                pass  # the sender did not wait

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_):
            pass

    receiver = Receiver(Server(("127.0.0.1", 0), Handler))
    threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True).start()
    return receiver


@pytest.fixture
def make_receiver():
    """Receivers as many as a test needs."""
    made = []

    def make():
        made.append(started_receiver())
        return made[-1]

    yield make
    for each in made:
        each.server.shutdown()
        each.server.server_close()


@pytest.fixture
def receiver(make_receiver):
    return make_receiver()


@pytest.fixture
def configure(app, settings):
    """Settings of webhooks for one test: configure(share=2)."""

    def change(**values):
        webhooks = settings.webhooks.model_copy(update={"allowed_networks": LOOPBACK, **values})
        app.extensions[EXTENSION] = settings.model_copy(update={"webhooks": webhooks})

    yield change
    app.extensions[EXTENSION] = settings


@pytest.fixture(autouse=True)
def allowed(configure, app):
    """Receivers on this machine are allowed, and nothing is under way."""
    configure()
    app.extensions.pop(COURIER, None)
    yield
    if courier := app.extensions.pop(COURIER, None):
        courier.lines.close_old(0)


def subscribe_to(url, *types, **fields):
    """An endpoint and its secret."""
    data = {"url": url, "event_types": list(types) or ["*"], **fields}
    with transaction():
        row, secret = create_endpoint(data, EVERYBODY)
    return row.id, secret


def deliveries(**filters):
    """The deliveries as they stand, oldest first."""
    rows = select(WebhookDelivery).filter_by(**filters).order_by(WebhookDelivery.id)
    return list(current_session().scalars(rows.execution_options(populate_existing=True)))


def endpoint(endpoint_id):
    """The endpoint as it stands."""
    return current_session().get(WebhookEndpoint, endpoint_id, populate_existing=True)


def deliver_all(app, seconds=60):
    """Run the job until nothing is under way."""
    until = time.monotonic() + seconds
    deliver()
    while app.extensions[COURIER].flying:
        assert time.monotonic() < until
        deliver()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) of hooks.example, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=hooks.example",
            "-addext", "subjectAltName=DNS:hooks.example",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def over_tls(receiver, certificate, monkeypatch):
    """The receiver behind TLS; every .example name means this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    real = socket.getaddrinfo

    def lookup(host, port, *args, **kwargs):
        return real("127.0.0.1" if str(host).endswith(".example") else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    receiver.server.get_request = lambda: _wrapped(context, receiver.server.socket)
    return receiver


def _wrapped(context, server):
    connection, address = server.accept()
    connection.settimeout(5)
    return context.wrap_socket(connection, server_side=True), address

"""Files in an S3-compatible store: the same library, another place."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from config.settings import load_settings
from scrm.media.service.store import MediaStore, open_store


class Bucket(BaseHTTPRequestHandler):
    """What an S3 store does with single objects, signed requests only."""

    objects: dict[str, bytes]

    def _answer(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"tag"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if "AWS4-HMAC-SHA256 Credential=key-of-ours/" not in self.headers.get("Authorization", ""):
            return self._answer(403)
        self.objects[self.path] = content
        return self._answer(200)

    def do_GET(self) -> None:
        found = self.objects.get(self.path)
        self._answer(404 if found is None else 200, found or b"")

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self._answer(204)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def bucket():
    objects: dict[str, bytes] = {}
    handler = type("ThisBucket", (Bucket,), {"objects": objects})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, objects
    server.shutdown()
    server.server_close()


def test_an_s3_store_keeps_gives_and_forgets_under_its_prefix(app, bucket):
    server, objects = bucket
    conf = load_settings(
        media={
            **load_settings().media.model_dump(),
            "url": "s3://scrm/files", "endpoint": f"http://127.0.0.1:{server.server_port}", "region": "test",
            "access_key": "key-of-ours", "secret_key": "secret-of-ours",
        }
    ).media  # fmt: skip
    with app.app_context():
        store = MediaStore(open_store(conf))
    digest = "ab" + "0" * 62
    store.put(digest, b"content")
    assert list(objects) == [f"/scrm/files/ab/{digest}"]
    assert store.get(digest) == b"content"
    store.remove(digest)
    store.remove(digest)
    with pytest.raises(FileNotFoundError):
        store.get(digest)

from __future__ import annotations

import hashlib
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

PNG = b"\x89PNG\r\n\x1a\n"
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(12)


def code(answer):
    return answer["errcode"]


@pytest.fixture(scope="module")
def shop():
    """A web server of this machine with one film: (url, bytes)."""
    film = MP4 + bytes(1000)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.send_response(200 if self.path == "/film.mp4" else 404)
            self.send_header("Content-Length", str(len(film)))
            self.end_headers()
            self.wfile.write(film)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/film.mp4", film
    server.shutdown()
    server.server_close()


@pytest.fixture
def load(wecom, shop, inbox, control):
    """load(**more): start a job for the film and wait for its event; returns (jobid, result)."""

    def start(**more):
        url, film = shop
        body = {"scene": 1, "type": "video", "filename": "film.mp4", "url": url}
        body |= {"md5": hashlib.md5(film, usedforsecurity=False).hexdigest()} | more
        answer = wecom.post("media/upload_by_url", **body)
        if code(answer):
            return None, answer
        for _ in range(200):
            found = wecom.post("media/get_upload_by_url_result", jobid=answer["jobid"])
            if found["status"] != 1:
                break
            threading.Event().wait(0.01)
        control.wait_callbacks()
        return answer["jobid"], found

    return start


def test_a_film_is_fetched_and_good_for_group_welcomes_only(load, wecom, inbox, corp):
    jobid, found = load()
    assert (found["status"], found["detail"]["errcode"]) == (2, 0)
    assert [event["JobId"] for event in inbox.events()] == [jobid]
    assert inbox.events()[0]["Event"] == "upload_media_job_finish"
    video = {"media_id": found["detail"]["media_id"]}
    assert code(wecom.contact("group_welcome_template/add", video=video)) == 0
    attachments = [{"msgtype": "video", "video": video}]
    assert code(wecom.contact("add_msg_template", sender="staff0001", attachments=attachments)) == 41072


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"md5": "0" * 32}, 301019),
        ({"url": "http://127.0.0.1:9/film.mp4"}, 830003),
        ({"url": "http://films.example.invalid/film.mp4"}, 830003),
    ],
)
def test_a_job_that_fails_says_why(load, more, expected):
    _, found = load(**more)
    assert (found["status"], found["detail"]["errcode"]) == (3, expected)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"scene": 2}, 40058),
        ({"type": "image"}, 40005),
        ({"url": "ftp://x"}, 830001),
        ({"url": "http://" + "x" * 1024}, 830001),
        ({"filename": "x" * 129}, 40058),
        ({"md5": "short"}, 40058),
    ],
)
def test_a_wrong_request_starts_no_job(load, more, expected):
    assert code(load(**more)[1]) == expected


def test_a_job_is_known_to_its_app_for_an_hour(load, wecom, control, as_app):
    jobid, _ = load()
    assert code(as_app("second").post("media/get_upload_by_url_result", jobid=jobid)) == 40058
    control.advance_clock(3601)
    assert code(wecom.post("media/get_upload_by_url_result", jobid=jobid)) == 40058


def png(side):
    return PNG + b"\x00\x00\x00\rIHDR" + struct.pack(">II", side, 10) + bytes(20)


def jpg(side):
    head = b"\xff\xd8\xff\xe0\x00\x04ab" + b"\xff\xc0\x00\x11\x08"
    return head + struct.pack(">HH", 10, side) + bytes(20)


def mp4(seconds, version=0):
    times = struct.pack(">QQIQ" if version else ">IIII", 0, 0, 1000, seconds * 1000)
    return MP4 + b"\x00\x00\x00\x6cmoov\x00\x00\x00\x64mvhd" + bytes([version, 0, 0, 0]) + times + bytes(80)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("image", png(10_800), 0),
        ("image", png(10_801), 41081),
        ("image", jpg(10_801), 41081),
        ("image", jpg(800), 0),
        ("video", mp4(30), 0),
        ("video", mp4(31), 41082),
        ("video", mp4(31, version=1), 41082),
        ("video", MP4 + bytes(10 * 1024 * 1024), 41080),
        ("image", b"GIF89a---", 40004),
    ],
)
def test_attachments_are_looked_into(wecom, corp, kind, content, expected):
    assert code(wecom.upload("upload_attachment", content, media_type=kind, attachment_type=1)) == expected

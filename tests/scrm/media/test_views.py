"""The media API."""

from __future__ import annotations

import hashlib

import pytest
from werkzeug.http import parse_options_header

from scrm.media.service.rules import LARGEST
from scrm.media.views import FORM_BYTES
from tests.scrm.media.conftest import JPG, MP4, upload_form


def test_a_file_is_kept_listed_shown_and_given_back(api):
    made = api.post("/api/v1/media", **upload_form(JPG, "菜单.jpg"))
    assert made.status_code == 201, made.json
    assert (made.json["kind"], made.json["size"], made.json["filename"]) == ("image", len(JPG), "菜单.jpg")
    address = f"/api/v1/media/{made.json['id']}"
    assert [row["id"] for row in api.get("/api/v1/media?kind=image").json["items"]] == [made.json["id"]]
    assert api.get("/api/v1/media?kind=video").json["items"] == []
    shown = api.get(address).json
    assert shown["uploads"] == []
    assert set(shown["refused_uses"]) == {"voice", "video", "moment_video"}
    content = api.get(f"{address}/content")
    assert content.data == JPG
    assert content.headers["Content-Disposition"].startswith("attachment")
    assert content.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("合同.pdf", "file.pdf"),
        ("菜单 menu (2).pdf", "menu 2.pdf"),
        ("été.pdf", "ete.pdf"),
        ("合同", "file"),
        ('合"同.pdf', "file.pdf"),
        ("a.合同", "a"),
        ("price list.pdf", "price list.pdf"),
    ],
)
def test_a_download_has_its_name_and_one_for_programs_that_read_ascii_only(api, name, plain):
    made = api.post("/api/v1/media", **upload_form(b"%PDF-1.7\n1 0 obj", name)).json["id"]
    told = api.get(f"/api/v1/media/{made}/content").headers["Content-Disposition"]
    kind, names = parse_options_header(told)  # filename* wins over filename
    assert (kind, names["filename"]) == ("attachment", name)
    _, first = parse_options_header(told.split("; filename*")[0])
    assert first["filename"] == plain


def test_the_same_file_again_is_the_same_row(api):
    made = [api.post("/api/v1/media", **upload_form(MP4, name)).json for name in ("a.mp4", "a.mp4", "b.mp4")]
    assert made[0] == made[1]
    assert [one["filename"] for one in made] == ["a.mp4", "a.mp4", "b.mp4"]
    assert {one["sha256"] for one in made} == {hashlib.sha256(MP4).hexdigest()}
    assert made[2]["id"] != made[0]["id"]


def test_a_deleted_file_is_gone(api):
    made = api.post("/api/v1/media", **upload_form(JPG, "a.jpg")).json["id"]
    assert api.delete(f"/api/v1/media/{made}").status_code == 204
    for answer in (api.get(f"/api/v1/media/{made}"), api.get(f"/api/v1/media/{made}/content")):
        assert answer.status_code == 404
    assert api.get("/api/v1/media").json["items"] == []


def test_a_form_without_file_is_refused_by_name(api):
    refused = api.post("/api/v1/media", data={"note": "x"}, content_type="multipart/form-data")
    assert refused.status_code == 422
    assert "file" in refused.json["fields"]


def test_twenty_megabytes_are_taken_and_more_is_refused(api):
    assert api.post("/api/v1/media", **upload_form(b"x" * LARGEST, "large.bin")).status_code == 201
    assert api.post("/api/v1/media", **upload_form(b"x" * (LARGEST + 1), "larger.bin")).status_code == 422
    refused = api.post("/api/v1/media", **upload_form(b"x" * (LARGEST * 2), "largest.bin"))
    assert refused.status_code == 413
    assert str(LARGEST + FORM_BYTES) in refused.json["detail"]


def test_writing_needs_its_own_permission(session, api_with):
    reader = api_with("media:read")
    assert reader.get("/api/v1/media").status_code == 200
    assert reader.post("/api/v1/media", **upload_form(JPG, "a.jpg")).status_code == 403


def test_a_welcome_with_a_library_file_of_the_wrong_kind_is_refused(api):
    video = api.post("/api/v1/media", **upload_form(MP4, "a.mp4")).json["id"]
    body = {"name": "n", "text": "t", "attachments": [{"msgtype": "image", "image": {"library_id": video}}]}
    refused = api.post("/api/v1/welcome-messages", json=body, headers={"Idempotency-Key": "k"})
    assert refused.status_code == 422
    assert "takes image" in refused.json["fields"]["attachments.0"], refused.json


def test_a_file_that_a_message_names_goes_only_when_that_is_said(api):
    made = api.post("/api/v1/media", **upload_form(JPG, "a.jpg")).json["id"]
    body = {"name": "n", "text": "t", "attachments": [{"msgtype": "image", "image": {"library_id": made}}]}
    assert (
        api.post("/api/v1/welcome-messages", json=body, headers={"Idempotency-Key": "k"}).status_code == 201
    )
    refused = api.delete(f"/api/v1/media/{made}")
    assert refused.status_code == 409
    assert "force=true" in refused.json["detail"]
    assert api.get(f"/api/v1/media/{made}").status_code == 200
    assert api.delete(f"/api/v1/media/{made}?force=true").status_code == 204

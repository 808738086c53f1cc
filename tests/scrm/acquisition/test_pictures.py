"""QR codes: read once from WeCom's picture and drawn anew, so that a scanner reads the same."""

import io
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest
import segno
import zxingcpp
from defusedxml.ElementTree import fromstring
from PIL import Image, ImageDraw

from scrm.acquisition.jobs import keep_codes_current, read_pictures
from scrm.acquisition.models import ChannelCode
from scrm.acquisition.queries.due import pictures_due
from scrm.kernel import clock
from scrm.kernel.db import transaction
from scrm.staff.service import ensure_staff
from scrm.wecom.errors import Stop
from scrm.wecom.jobs import carry_out_events
from scrm.wecom.pictures import MOST_BYTES, fetch_picture, picture_address
from scrm.wecom.qr_codes import content_of, draw

URL = "/api/v1/channel-codes"
TEXT = "https://work.weixin.qq.com/ca/cawcde0123456789"


def png(content=TEXT, error="h", scale=6):
    out = io.BytesIO()
    segno.make_qr(content, error=error).save(out, kind="png", scale=scale)
    return out.getvalue()


def scan(picture):
    """What a scanner reads, or None."""
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)).convert("L"))
    return found[0].text if found else None


@pytest.fixture
def made(api, sandbox, session):
    """A code whose picture WeCom has made and nobody has read."""
    sandbox.population(members=1, kf_accounts=0)
    with transaction():
        [staff_id] = ensure_staff(sandbox.state_ids("member")).values()
    code = api.post(URL, json={"name": "展会", "staff_ids": [staff_id]}).json
    keep_codes_current()
    carry_out_events()
    return code


def test_a_png_of_ours_scans_to_what_stands_in_wecoms_picture(api, made, session):
    url = f"{URL}/{made['id']}/qr.png"
    assert api.get(url).status_code == 409
    assert pictures_due()
    read_pictures()
    assert not pictures_due()
    shown = api.get(f"{URL}/{made['id']}").json
    assert shown["qr_content"] == f"https://work.weixin.qq.com/ca/{shown['config_id']}"
    for query in ("", "?size=300&error=l", "?size=2000&error=h"):
        answer = api.get(url + query)
        assert (answer.status_code, answer.content_type) == (200, "image/png")
        assert scan(answer.data) == shown["qr_content"]
    assert Image.open(io.BytesIO(api.get(f"{url}?size=600").data)).size >= (600, 600)
    tag = api.get(url).headers["ETag"]
    assert api.get(url, headers={"If-None-Match": tag}).status_code == 304


def test_an_svg_has_the_size_wanted_and_the_same_modules(api, made):
    read_pictures()
    answer = api.get(f"{URL}/{made['id']}/qr.svg?size=500")
    assert answer.content_type.startswith("image/svg+xml")
    root = fromstring(answer.data)
    assert float(root.get("width")) == pytest.approx(500, abs=1)
    content = api.get(f"{URL}/{made['id']}").json["qr_content"]
    again = segno.make_qr(content, error="m", boost_error=False)
    out = io.BytesIO()
    again.save(out, kind="svg", border=4, light="#fff")
    strokes = [path.get("d") for path in fromstring(out.getvalue()).iter() if path.get("stroke")]
    assert [path.get("d") for path in root.iter() if path.get("stroke")] == strokes


def test_a_picture_that_is_not_there_yet_is_tried_again_later(api, made, sandbox, session):
    code = session.get(ChannelCode, made["id"])
    good = code.qr_code
    code.qr_code = good.replace("/qr/", "/nowhere/")
    session.commit()
    read_pictures()
    assert "404" in api.get(f"{URL}/{made['id']}").json["qr_error"]
    assert not pictures_due()
    code.qr_code = good
    session.commit()
    with clock.shifted(timedelta(minutes=2)):
        assert pictures_due()
        read_pictures()
    assert api.get(f"{URL}/{made['id']}/qr.png").status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/qr", "http://127.0.0.1:1/x", "file:///etc/passwd", "https://p.qpic.cn@evil.example/x",
        "https://p.qpic.cn:8443/x", "https://user:pw@p.qpic.cn/x", "ftp://p.qpic.cn/x", "https://p.qpic.cn.evil.example/x",
        "https://p.qpic.cn:notaport/x", "",
    ],
)  # fmt: skip
def test_other_hosts_are_never_asked(app, session, address):
    with pytest.raises(Stop, match="picture_hosts"):
        picture_address(address)


def test_wecoms_hosts_are_asked_by_https(app, session, settings):
    assert picture_address("http://p.qpic.cn/wwhead/a/0") == "https://p.qpic.cn/wwhead/a/0"
    assert picture_address(f"{settings.wecom.base_url}/qr/x") == f"{settings.wecom.base_url}/qr/x"


def test_a_bad_address_in_a_batch_does_not_stop_the_others(api, made, session):
    bad = ChannelCode(
        name="b",
        state="bad",
        staff_ids=[],
        tag_ids=[],
        contact_type=2,
        config_id="c",
        qr_code="https://evil.example/q",
    )
    session.add(bad)
    session.commit()
    read_pictures()
    session.expire_all()
    assert "picture_hosts" in session.get(ChannelCode, bad.id).qr_error
    assert session.get(ChannelCode, made["id"]).qr_content


def test_too_large_an_answer_is_cut_off(sandbox, settings, monkeypatch):
    import scrm.wecom.pictures as module

    assert MOST_BYTES == 1024 * 1024
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(Stop, match="larger than 10 bytes"):
        fetch_picture(f"{settings.wecom.base_url}/control/", (1, 5))


def test_a_logo_in_the_middle_does_not_matter():
    picture = Image.open(io.BytesIO(png())).convert("RGB")
    middle, side = picture.width // 2, picture.width // 10
    ImageDraw.Draw(picture).rectangle(
        (middle - side, middle - side, middle + side, middle + side), fill=(7, 193, 96)
    )
    out = io.BytesIO()
    picture.save(out, kind := "JPEG")
    assert kind
    assert content_of(out.getvalue()) == TEXT


def test_a_transparent_picture_is_read_on_white():
    qr = segno.make_qr(TEXT)
    out = io.BytesIO()
    qr.save(out, kind="png", scale=5, light=None)
    assert content_of(out.getvalue()) == TEXT


def two():
    one = Image.open(io.BytesIO(png())).convert("L")
    both = Image.new("L", (one.width * 2, one.height), 255)
    both.paste(one, (0, 0))
    both.paste(one, (one.width, 0))
    out = io.BytesIO()
    both.save(out, "PNG")
    return out.getvalue()


def blank(side):
    out = io.BytesIO()
    Image.new("1", (side, side), 1).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("picture", "problem"),
    [
        (b"", "no picture"), (b"<html>502</html>", "no picture"), (png()[:200], "no picture"), (blank(50), "0 readable"),
        (blank(5000), "larger than 4096"), (two(), "2 readable"),
    ],
    ids=["empty", "page", "cut", "blank", "huge", "two"],
)  # fmt: skip
def test_what_is_no_single_code_is_said(picture, problem):
    with pytest.raises(ValueError, match=problem):
        content_of(picture)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_pictures_are_refused_in_one_way_only():
    """Thousands of broken pictures end in ValueError or, where the damage does not matter, in the content."""
    random, good = Random(1), png(scale=3)
    for _ in range(1500):
        broken = bytearray(good)
        for _ in range(random.randint(1, 6)):
            place = random.randrange(len(broken))
            if random.random() < 0.2:
                del broken[place : place + random.randint(1, 20)]
            else:
                broken[place] = random.randrange(256)
        with suppress(ValueError):
            assert content_of(bytes(broken)) == TEXT


@pytest.mark.parametrize("error", "lmqh")
def test_every_level_of_correction_scans(error):
    assert scan(draw(TEXT, "png", size=200, error=error)) == TEXT


@pytest.mark.parametrize("query", ["size=50", "size=9000", "error=x", "logo=1"])
def test_wrong_wishes_are_refused(api, made, query):
    assert api.get(f"{URL}/{made['id']}/qr.png?{query}").status_code == 422


def test_unknown_codes_and_formats_are_404(api, made):
    assert api.get(f"{URL}/999999/qr.png").status_code == 404
    assert api.get(f"{URL}/{made['id']}/qr.gif").status_code == 404

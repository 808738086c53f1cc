"""A library, its content, and welcomes that carry it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import select
from urllib3 import encode_multipart_formdata

from scrm.kernel.clock import utcnow
from scrm.kernel.db import session, transaction
from scrm.media.models import MediaFile
from scrm.media.service.keeping import keep_file
from scrm.wecom.client import wecom
from scrm.wecom.effects import Intent, plan
from scrm.wecom.jobs import carry_out_urgent
from scrm.wecom.models import Effect

JPG = b"\xff\xd8\xff" + b"picture" * 10
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 10
MP4 = b"\x00\x00\x00\x18ftypmp42" + b"moving" * 10
AMR_FRAME = bytes([0x3C]) + b"\0" * 31  # the 12.2 kbit/s mode


def amr(seconds: float) -> bytes:
    return b"#!AMR\n" + AMR_FRAME * round(seconds / 0.02)


def kept(content: bytes = JPG, filename: str = "菜单.jpg") -> MediaFile:
    with transaction():
        return keep_file(filename, content, "test")


def send_welcome(sandbox: Any, userid: str, attachments: list[dict[str, Any]]) -> Effect:
    """Somebody adds the member and is welcomed with ``attachments``; the effect afterwards."""
    [told] = sandbox.add(userid)
    key = f"welcome:{uuid.uuid4().hex}"
    payload = {
        "welcome_code": told["welcome_codes"]["main"],
        "text": {"content": "你好"},
        "attachments": attachments,
    }
    with transaction():
        plan([Intent(kind="welcome", key=key, payload=payload)])
    return carried_out(key)


def carried_out(key: str) -> Effect:
    carry_out_urgent()
    with transaction():
        found = select(Effect).where(Effect.key == key)
        return session().scalars(found, execution_options={"populate_existing": True}).one()


def upload_form(content: bytes, filename: str) -> dict[str, Any]:
    """A form with one file, in memory: Flask's own would leave temporary files open."""
    body, content_type = encode_multipart_formdata({"file": (filename, content)})
    return {"data": body, "content_type": content_type}


@pytest.fixture
def member(committed, sandbox) -> str:
    """The only member of the sandbox's corp."""
    sandbox.set_callback("http://127.0.0.1:9/nowhere", verify=False)
    sandbox.population(members=1, customers=0)
    return wecom().get("externalcontact/get_follow_user_list")["follow_user"][0]


@pytest.fixture
def now():
    return utcnow()

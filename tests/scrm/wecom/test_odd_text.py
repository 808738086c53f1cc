"""Text that WeCom's JSON may carry and PostgreSQL cannot hold: NUL, and half of a character of two halves."""

from __future__ import annotations

import pytest
import requests

from scrm.wecom.wire import Wire


def decoded(content: bytes) -> object:
    answer = requests.Response()
    answer.status_code, answer._content = 200, content
    return Wire._decode_result(object.__new__(Wire), answer)


@pytest.mark.parametrize(
    "content",
    [
        rb'{"errcode": 0, "list": [{"name": "a\u0000b"}]}',
        rb'{"errcode": 0, "list": [{"name": "a\ud83db"}]}',
        b'{"errcode": 0, "list": [{"name": "a\x00b"}]}',
    ],
)
def test_what_the_database_cannot_hold_is_left_out(content: bytes) -> None:
    assert decoded(content) == {"errcode": 0, "list": [{"name": "ab"}]}


def test_everything_else_stays_as_it_is() -> None:
    assert decoded(rb'{"name": "\ud83d\ude00\\u0000 \u0001"}') == {"name": "\U0001f600\\u0000 \x01"}

"""What the logs of a whole deployment may not hold: secrets, tokens, what people are called and what they say."""

import re

import pytest

from tests.stack import APP, Stack

pytestmark = [pytest.mark.fault]

NAME, TEXT, REMARK = "张绝密姓名", "这句话谁也不许写进日志", "备注不许外泄"


@pytest.fixture(scope="module")
def told():
    """(all log lines, the access tokens that were in use) of a deployment at DEBUG level."""
    with Stack(environment={"SCRM_LOG__LEVEL": "DEBUG"}) as stack:
        control = stack.control
        userid = control.population(members=2, departments=1)["members"][0]
        person = control.add(userid, name=NAME)[0]["external_userid"]
        control.edit(userid, person, remark=REMARK)
        control.staff_message(userid, content=TEXT)
        control.chat(person, content=TEXT)
        stack.wait_drained()
        kept = stack.redis()
        tokens = [kept.get(key).decode() for key in kept.keys("*token*") if kept.type(key) == b"string"]
        names = [name for name in stack.names() if name not in {"postgres", "valkey"}]
        yield "".join(stack.log(name).read_text(errors="replace") for name in names), tokens


def test_the_processes_did_log(told):
    assert {"web", "clock", "worker:urgent", "worker:events"} <= set(
        re.findall(r'"process": "([^"]+)"', told[0])
    )


@pytest.mark.parametrize("secret", [APP["secret"], APP["token"], APP["aes_key"], NAME, TEXT, REMARK])
def test_no_secret_name_or_text_is_in_any_log(told, secret):
    assert secret not in told[0]
    assert secret.encode("unicode_escape").decode() not in told[0]


def test_no_access_token_is_in_any_log(told):
    long = [token for token in told[1] if len(token) > 20]
    assert long
    assert not [token for token in long if token in told[0]]

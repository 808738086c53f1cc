"""Whatever a client sends, the answer is an errcode and never a crash."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.sandbox.api.registry import REGISTRY
from scrm.sandbox.app import create_sandbox
from scrm.sandbox.config import SandboxConfig
from scrm.sandbox.defaults import DEFAULT_APP_SECRET, DEFAULT_CORP_ID
from scrm.sandbox.people.population import Plan, populate
from tests.profiles import examples

NAMES = sorted(
    [
        "userid",
        "external_userid",
        "userid_list",
        "cursor",
        "limit",
        "remark",
        "description",
        "remark_mobiles",
        "tag_id",
        "group_id",
        "group_name",
        "tag",
        "id",
        "name",
        "order",
        "add_tag",
        "remove_tag",
        "type",
        "scene",
        "style",
        "state",
        "user",
        "party",
        "is_temp",
        "expires_in",
        "config_id",
        "text",
        "attachments",
        "welcome_code",
        "chat_id",
        "need_name",
        "owner_filter",
        "status_filter",
        "chat_type",
        "sender",
        "tag_filter",
        "chat_id_list",
        "msgid",
        "start_time",
        "end_time",
        "touser",
        "toparty",
        "totag",
        "msgtype",
        "agentid",
        "enable_duplicate_check",
        "open_kfid",
        "token",
        "service_state",
        "servicer_userid",
        "code",
        "external_userid_list",
        "department_id",
        "media_id",
        "conclusions",
        "skip_verify",
        "handover_userid",
        "takeover_userid",
        "transfer_success_msg",
        "page_id",
        "page_size",
        "new_owner",
        "room_base_id",
        "room_base_name",
        "template_id",
        "image",
        "video",
        "link",
        "link_id",
        "link_name",
        "range",
        "priority_option",
        "chat_key",
        "partyid",
        "day_begin_time",
        "day_end_time",
        "order_by",
        "offset",
        "jobid",
        "filename",
        "url",
        "md5",
        "tagid",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "staff0001", "single", "group", "text", "link", "msgmenu", "@all", "1000002", "x" * 5000]
    ),
)
INNER = st.sampled_from(
    [
        "content",
        "user_list",
        "department_list",
        "userid_list",
        "group_list",
        "tag_list",
        "list",
        "msgtype",
        "link",
        "name",
        "type",
    ]
)
VALUES = st.recursive(
    LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(INNER, some, max_size=3), max_leaves=6
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)


@pytest.fixture(scope="module")
def corner():
    """A corp in this process: (client, token, real ids to mix in)."""
    config = SandboxConfig.from_json({"limits": {"rate_limits_on": False, "staff_confirm_seconds": None}})
    app = create_sandbox(config)
    sandbox = app.extensions["sandbox"]
    populate(sandbox.world, Plan(members=3, customers=9, groups=2))
    client = app.test_client()
    query = {"corpid": DEFAULT_CORP_ID, "corpsecret": DEFAULT_APP_SECRET}
    token = client.get("/cgi-bin/gettoken", query_string=query).get_json()["access_token"]
    world = sandbox.world
    real = {
        "userid": "staff0001",
        "sender": "staff0001",
        "touser": next(iter(world.customers)),
        "external_userid": next(iter(world.members["staff0001"].follows)),
        "handover_userid": "staff0001",
        "takeover_userid": "staff0002",
        "new_owner": "staff0002",
        "open_kfid": next(iter(world.kf.accounts)),
        "chat_id": next(iter(world.groups)),
        "type": 1,
        "scene": 2,
        "limit": 10,
        "agentid": 1000002,
    }
    yield client, token, real
    sandbox.stop()


@pytest.mark.parametrize("path", ["externalcontact/list", "kf/send_msg"])
def test_the_registry_is_loaded(corner, path):
    assert path in REGISTRY


@examples(400)
@given(data=st.data())
def test_every_call_answers_json_with_an_errcode(corner, data):
    client, token, real = corner
    found = REGISTRY[data.draw(st.sampled_from(sorted(REGISTRY)))]
    body = data.draw(BODIES)
    for name in data.draw(st.lists(st.sampled_from(sorted(real)), max_size=6)):
        body[name] = real[name]
    if "GET" in found.methods:
        query = {key: str(value) for key, value in body.items()} | {"access_token": token}
        answer = client.get(f"/cgi-bin/{found.path}", query_string=query)
    else:
        answer = client.post(f"/cgi-bin/{found.path}?access_token={token}", data=json.dumps(body))
    assert answer.status_code == 200
    assert isinstance(answer.get_json()["errcode"], int)


def test_the_control_api_answers_this_machine_only(corner):
    client = corner[0]
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("10.1.2.3", 403)):
        answer = client.get("/control/", environ_base={"REMOTE_ADDR": address})
        assert answer.status_code == status


def test_unknown_control_paths_and_methods_are_json_too(corner):
    client = corner[0]
    assert client.get("/control/nowhere").get_json()["error"].startswith("Not Found")
    assert client.get("/control/reset").get_json()["error"].startswith("Method Not Allowed")

"""What every view gets from the kernel: permission, problem documents, idempotency, paging."""

from types import SimpleNamespace

import pytest
from flask import Flask
from marshmallow import fields
from marshmallow.validate import Length
from sqlalchemy import select

from scrm.kernel.apikeys import create_key, revoke_key
from scrm.kernel.clock import utcnow
from scrm.kernel.db import db, session, transaction
from scrm.kernel.http import PageQuery, api_blueprint, idempotent, init_http, page_schema, paginate
from scrm.kernel.models import ApiKey, ScheduleRun
from scrm.kernel.paging import encode_cursor
from scrm.kernel.permissions import Permission, needs
from scrm.kernel.schemas import Schema, time_field
from tests.conftest import empty_tables


class ThingIn(Schema):
    name = fields.String(required=True, validate=Length(max=5))
    staff = fields.List(fields.Integer())
    more = fields.Dict()
    at = time_field()


class KeyOut(Schema):
    id = fields.Integer()
    name = fields.String()


def make_views():
    blueprint = api_blueprint("things", "things")

    @blueprint.route("/things", methods=["POST"])
    @needs(Permission.TAGS_WRITE)
    @idempotent
    @blueprint.arguments(ThingIn)
    @blueprint.response(201, ThingIn)
    def create_thing(data):
        session().add(ScheduleRun(name=data["name"], woken_at=utcnow()))
        return data

    @blueprint.route("/keys", methods=["GET"])
    @needs(Permission.TAGS_READ)
    @blueprint.arguments(PageQuery, location="query")
    @blueprint.response(200, page_schema(KeyOut))
    def list_keys(query):
        return paginate(select(ApiKey), ApiKey.id, query)

    @blueprint.route("/keys/<int:key_id>", methods=["GET"])
    @needs(Permission.TAGS_READ)
    @blueprint.response(200, KeyOut)
    def show_key(key_id):
        return {"id": key_id}

    @blueprint.route("/broken", methods=["GET"])
    @needs(Permission.TAGS_READ)
    def broken():
        raise ZeroDivisionError("secret detail")

    return SimpleNamespace(blueprint=blueprint)


@pytest.fixture(scope="module")
def small_app(app):
    small = Flask("small")
    small.config["SQLALCHEMY_DATABASE_URI"] = app.config["SQLALCHEMY_DATABASE_URI"]
    small.extensions.update({k: v for k, v in app.extensions.items() if k.startswith("scrm_r")})
    db.init_app(small)
    init_http(small, [make_views()])
    yield small
    with small.app_context():
        db.engine.dispose()


@pytest.fixture
def client(small_app, redis):
    with small_app.app_context():
        with transaction():
            _, token = create_key("test", ["tags:read", "tags:write"])
        browser = small_app.test_client()
        browser.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        yield browser
        db.session.remove()
        empty_tables()


def post(client, body, **headers):
    return client.post("/api/v1/things", json=body, headers=headers)


def names():
    db.session.rollback()
    return session().scalars(select(ScheduleRun.name)).all()


def test_an_unknown_field_is_refused_by_name_and_nothing_changes(client):
    answer = post(client, {"name": "a", "colour": "red"})
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json["fields"] == {"colour": "Unknown field."}
    assert names() == []


def test_a_wrong_value_names_field_and_limit(client):
    answer = post(client, {"name": "abcdef"})
    assert answer.status_code == 422
    assert "5" in answer.json["fields"]["name"]


def test_an_unknown_query_field_is_refused(client):
    assert client.get("/api/v1/keys?colour=red").json["fields"] == {"colour": "Unknown field."}


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer nonsense", "Bearer scrm_0_0"])
def test_nobody_known_gets_401(small_app, client, header):
    answer = small_app.test_client().get("/api/v1/keys", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json["code"] == "unauthorized"


def test_a_key_without_the_permission_gets_403_naming_it(small_app, client):
    with transaction():
        _, token = create_key("reader", ["tags:read"])
    answer = small_app.test_client().post(
        "/api/v1/things", json={"name": "a"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403
    assert "tags:write" in answer.json["detail"]


def test_a_revoked_key_ends_at_once(small_app, client):
    with transaction():
        row, token = create_key("gone", ["tags:read"])
        revoke_key(row.prefix)
    answer = small_app.test_client().get("/api/v1/keys", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_the_same_idempotency_key_creates_once_and_answers_the_same(client):
    first = post(client, {"name": "a"}, **{"Idempotency-Key": "k1"})
    again = post(client, {"name": "a"}, **{"Idempotency-Key": "k1"})
    assert (first.status_code, first.json) == (again.status_code, again.json) == (201, {"name": "a"})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert names() == ["a"]


def test_an_idempotency_key_is_not_reused_for_another_request(client):
    post(client, {"name": "a"}, **{"Idempotency-Key": "k1"})
    answer = post(client, {"name": "b"}, **{"Idempotency-Key": "k1"})
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json["fields"]
    assert names() == ["a"]


def test_a_refused_request_does_not_use_up_its_idempotency_key(client):
    assert post(client, {"name": "abcdef"}, **{"Idempotency-Key": "k1"}).status_code == 422
    assert post(client, {"name": "a"}, **{"Idempotency-Key": "k1"}).status_code == 201


def test_pages_follow_the_cursor_to_the_end_and_name_each_row_once(client):
    with transaction():
        for number in range(6):
            create_key(f"k{number}", ["tags:read"])
    seen, cursor = [], None
    while True:
        answer = client.get(
            "/api/v1/keys", query_string={"limit": 3, **({"cursor": cursor} if cursor else {})}
        ).json
        seen += [item["name"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == ["k5", "k4", "k3", "k2", "k1", "k0", "test"]


def test_a_foreign_cursor_is_refused(client):
    assert client.get("/api/v1/keys?cursor=!!!").status_code == 422


def test_an_unforeseen_error_is_a_500_without_its_detail(client):
    answer = client.get("/api/v1/broken")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["X-Request-Id"]


def test_an_unknown_address_is_a_problem_document(client):
    assert client.get("/api/v1/nothing").json["status"] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a\0"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "a", "staff": [1, 2**63]}, "staff.1"),
        ({"name": "a", "more": {"x": [{"y": "\0"}]}}, "more.x.0.y"),
        ({"name": "a", "at": "9999-12-31T23:59:59-12:00"}, "at"),
    ],
)
def test_what_no_column_can_hold_is_refused_by_name(client, body, field):
    answer = post(client, body)
    assert (answer.status_code, list(answer.json["fields"])) == (422, [field])
    assert names() == []


@pytest.mark.parametrize("levels", [60, 3_000, 200_000])
def test_a_body_nested_without_end_is_refused(client, levels):
    body = '{"name":"a","more":' + '{"x":' * levels + "1" + "}" * levels + "}"
    answer = client.post("/api/v1/things", data=body, content_type="application/json")
    assert answer.status_code == 422
    assert "50 levels" in answer.json["detail"]


def test_a_cursor_or_an_id_beyond_64_bits_is_none_of_ours(client):
    assert client.get(f"/api/v1/keys?cursor={encode_cursor(2**63)}").status_code == 422
    assert client.get(f"/api/v1/keys/{2**63}").status_code == 404
    assert client.get(f"/api/v1/keys/{2**63 - 1}").json == {"id": 2**63 - 1}


def test_the_api_description_calls_ids_whole_numbers(client):
    paths = client.get("/api/v1/openapi.json").json["paths"]
    assert paths["/api/v1/keys/{key_id}"]["parameters"][0]["schema"]["type"] == "integer"

"""`scrm doctor` on WeCom's side: every failing line is provoked by the sandbox, and names the setting and its page."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from config.settings import Settings
from scrm.cli.doctor import clocks, permissions, quotas, wecom
from scrm.cli.doctor.finding import Finding
from scrm.customers.service.recording import Add, record_adds
from scrm.kernel.clock import utcnow
from scrm.sandbox.control import SandboxControl
from scrm.wecom.client import wecom as wecom_client
from scrm.wecom.models import Circuit, Effect, EffectState, Parked, Priority

FOLLOW_USERS = "externalcontact/get_follow_user_list"
TAGS = "externalcontact/get_corp_tag_list"
DEPARTMENTS, KF, QUOTA = (
    "department/simplelist", "kf/account/list", "externalcontact/customer_acquisition_quota",
)  # fmt: skip


def found(settings: Settings, name: str) -> Finding:
    """The line about ``name`` of the app main."""
    return next(one for one in permissions.permissions(settings) if one.check.startswith(name))


@pytest.fixture
def corp(session: Session, sandbox: SandboxControl) -> SandboxControl:
    """A corp with a member, so that nothing fails without a fault."""
    sandbox.population(members=1, customers=0)
    return sandbox


def with_features(settings: Settings, *features: str) -> Settings:
    apps = {"main": settings.apps["main"].model_copy(update={"features": features})}
    return settings.model_copy(update={"apps": apps})


def test_a_corp_without_faults_is_well(corp: SandboxControl, settings: Settings) -> None:
    assert [one for one in permissions.permissions(settings) if not one.well] == []
    assert "1 members" in found(settings, "customer contact").detail


@pytest.mark.parametrize(
    ("errcode", "api", "line", "way_out", "page"),
    [
        (60020, FOLLOW_USERS, "customer contact", "add 127.0.0.1 to the app's 企业可信IP", "企业可信IP"),
        (48002, FOLLOW_USERS, "customer contact", "可调用接口的应用", "客户联系 › 可调用接口的应用"),
        (48002, KF, "customer service", "可调用接口的应用", "微信客服 › 可调用接口的应用"),
        (48002, TAGS, "enterprise tags", "tick the app main", "客户联系 › 可调用接口的应用"),
        (60011, DEPARTMENTS, "visible range", "page named here", "可见范围"),
        (301002, KF, "customer service", "apps.main.agent_id", "自建应用"),
        (40013, DEPARTMENTS, "visible range", "corp.id", "企业信息"),
        (50003, TAGS, "enterprise tags", "page named here", "自建应用"),
        (84074, FOLLOW_USERS, "customer contact", "page named here", "使用范围"),
    ],
)
def test_a_refusal_names_the_setting_and_the_page_of_the_console(
    corp: SandboxControl, settings: Settings, errcode: int, api: str, line: str, way_out: str, page: str
) -> None:
    corp.fault("errcode", api=api, errcode=errcode, times=None)
    told = found(settings, line)
    assert not told.well
    assert str(errcode) in told.detail
    assert way_out in told.way_out
    assert page in told.page


def test_a_wrong_secret_is_named_with_its_key_and_page(
    session: Session, settings: Settings, sandbox: SandboxControl
) -> None:
    sandbox.fault("errcode", api="gettoken", errcode=40001, times=None)
    [told] = wecom.tokens(settings)
    assert (told.well, told.page) == (False, "应用管理 › 自建应用")
    assert "apps.main.secret" in told.way_out


def test_a_secret_changed_under_a_cached_token_is_named_by_every_line_that_meets_it(
    corp: SandboxControl, settings: Settings
) -> None:
    wecom_client("main").get(FOLLOW_USERS)
    corp.change_app(secret="another-secret-of-the-console-0000000000001")
    corp.expire_tokens()
    told = found(settings, "customer contact")
    assert (told.well, told.page) == (False, "应用管理 › 自建应用")
    assert "apps.main.secret" in told.way_out


def test_a_corp_whose_members_the_app_does_not_see_is_no_well_corp(
    session: Session, settings: Settings, sandbox: SandboxControl
) -> None:
    told = found(settings, "customer contact")
    assert not told.well
    assert "可见范围" in told.way_out


def test_a_wecom_that_is_busy_is_no_missing_permission(corp: SandboxControl, settings: Settings) -> None:
    corp.fault("errcode", api=TAGS, errcode=-1, times=None)
    told = found(settings, "enterprise tags")
    assert (told.well, told.page) == (False, "")
    assert "wecom.base_url" in told.way_out


def test_tags_that_nearly_fill_the_corp_are_named(corp: SandboxControl, settings: Settings) -> None:
    client = wecom_client("main")
    there = sum(len(group["tag"]) for group in client.post(TAGS, {})["tag_group"])
    full, step = 2849, 1000
    for start in range(there, full, step):
        tags = [{"name": f"标签{number}"} for number in range(start, min(full, start + step))]
        client.post("externalcontact/add_corp_tag", {"group_name": f"组{start}", "tag": tags})
    line = "enterprise tags of app main"
    assert found(settings, "enterprise tags") == Finding(line, True, f"{full} of 3000 tags")
    client.post("externalcontact/add_corp_tag", {"group_name": "组", "tag": [{"name": "一个"}]})
    told = found(settings, "enterprise tags")
    assert not told.well
    assert "客户标签" in told.page


def test_an_app_for_links_needs_its_own_permission_and_quota(
    corp: SandboxControl, settings: Settings
) -> None:
    told = found(with_features(settings, "acquisition_links"), "acquisition links")
    corp.fault("errcode", api=QUOTA, errcode=48002, times=None)
    denied = found(with_features(settings, "acquisition_links"), "acquisition links")
    assert "quota" in told.detail
    assert not denied.well
    assert "获客助手" in denied.page


def test_only_promised_features_are_asked_for(corp: SandboxControl, settings: Settings) -> None:
    lines = [one.check for one in permissions.permissions(with_features(settings, "kf"))]
    assert lines == ["customer service of app main"]


def test_clocks_that_agree_are_well(session: Session, settings: Settings, sandbox: SandboxControl) -> None:
    assert clocks.clock_of_database().well
    assert clocks.clock_of_wecom(settings).well


def test_a_wecom_that_does_not_answer_is_named(session: Session, settings: Settings) -> None:
    away = settings.wecom.model_copy(update={"base_url": "http://127.0.0.1:1"})
    told = clocks.clock_of_wecom(settings.model_copy(update={"wecom": away}))
    assert not told.well
    assert "wecom.base_url" in told.way_out


def effect(**more: Any) -> Effect:
    values = {
        "kind": "add_contact_way", "key": "k", "app": "main", "queue": "events", "priority": Priority.TAG,
        "payload": {}, "state": EffectState.FAILED, "finished_at": utcnow(),
    }  # fmt: skip
    return Effect(**{**values, **more})


def test_a_used_up_contact_way_quota_is_named(session: Session) -> None:
    assert quotas.contact_ways() == Finding("contact way quota", True, "0 of 500000 used")
    session.add(effect(errcode=41045))
    session.flush()
    told = quotas.contact_ways()
    assert not told.well
    assert "1 refused with 41045" in told.detail
    assert "delete channel codes" in told.way_out


def test_a_refusal_of_yesterday_is_no_news(session: Session) -> None:
    session.add(effect(errcode=41045, finished_at=utcnow() - timedelta(days=2)))
    session.flush()
    assert quotas.contact_ways().well


def test_changes_that_were_given_up_are_named(session: Session) -> None:
    assert quotas.parked_effects().well
    session.add(effect(parked=next(iter(Parked)), parked_at=utcnow()))
    session.flush()
    told = quotas.parked_effects()
    assert (told.well, told.detail) == (False, "1 parked")
    assert "scrm effects retry" in told.way_out


def test_an_api_that_does_not_answer_is_named(session: Session) -> None:
    assert quotas.circuits().well
    session.add(Circuit(api="externalcontact/get", scope="", app="main", opened_at=utcnow()))
    session.flush()
    told = quotas.circuits()
    assert not told.well
    assert "externalcontact/get since" in told.detail


def test_an_app_that_was_never_called_back_is_told_without_failing(session: Session) -> None:
    assert quotas.last_callbacks(["main"]) == [Finding("callbacks of app main", True, "none yet")]


def test_a_media_store_that_cannot_be_written_is_named(session: Session, app: Flask, tmp_path: Path) -> None:
    assert quotas.media().well
    kept = {name: app.extensions.pop(name) for name in ("scrm_settings", "scrm_media_store")}
    (tmp_path / "media").write_text("in the way of the folder")
    app.extensions["scrm_settings"] = kept["scrm_settings"].model_copy(update={"var_dir": tmp_path})
    try:
        told = quotas.media()
    finally:
        app.extensions.update(kept)
    assert not told.well
    assert "media.url" in told.way_out


def test_members_with_customers_whom_an_app_does_not_see_are_named(
    session: Session, settings: Settings, sandbox: SandboxControl
) -> None:
    sandbox.population(members=2, customers=0)
    seen, hidden = wecom_client("main").get(FOLLOW_USERS)["follow_user"]
    record_adds([Add(userid, f"wm{userid}", utcnow(), False, None) for userid in (seen, hidden)])
    assert [one.well for one in permissions.hidden_members(settings)] == [True]
    sandbox.change_app("main", visible=[seen])
    [told] = permissions.hidden_members(settings)
    assert not told.well
    assert f"1 of 2 are not: {hidden}" in told.detail
    assert told.page == "应用管理 › 自建应用 › 可见范围"

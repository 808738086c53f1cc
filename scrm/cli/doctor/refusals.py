"""What to do when WeCom refuses an app: the setting by its name, and the page of the admin console."""

from __future__ import annotations

from config.settings import Feature
from scrm.cli.doctor.finding import Finding
from scrm.wecom.error_table import CONTACT_APPS, KF_APPS, row_of
from scrm.wecom.errors import Denied, NotFound, Stop, TokenExpired, WecomError

NO_FEATURE = {48001, 48002, 48006, 48007}
CALLABLE_APPS: dict[Feature, str] = {
    "externalcontact": CONTACT_APPS,
    "acquisition_links": "客户与上下游 › 获客助手 › 可调用接口的应用",
    "kf": KF_APPS,
    "contacts": "应用管理 › 自建应用 › 可见范围",
}
UNTRUSTED, WRONG_SECRET = {60020, 301042}, {40001, 40091, 41004}
WRONG_CORP, WRONG_AGENT = {40013, 41002}, {40056, 301002}


def refused(check: str, app: str, feature: Feature | None, error: WecomError) -> Finding:
    """The line for a call that WeCom did not answer with errcode 0.

    :param feature: what the call belongs to, which decides the page for a missing permission
    """
    row = row_of(error.errcode) if error.errcode is not None else None
    if row is None or not _is_refusal(error):
        way_out = "look whether wecom.base_url can be reached from here; the call is repeated by itself"
        return Finding(check, False, str(error), way_out)
    page = CALLABLE_APPS.get(feature) if feature and error.errcode in NO_FEATURE else row.page
    detail = f"{error.errcode} {row.zh} ({row.en})"
    return Finding(check, False, detail, _way_out(app, error), page or "")


def _is_refusal(error: WecomError) -> bool:
    """Whether somebody has to mend something; a call that got no token carries the errcode of ``gettoken``."""
    tokenless = isinstance(error, TokenExpired) and error.errcode in WRONG_SECRET | WRONG_CORP
    return tokenless or isinstance(error, Denied | Stop | NotFound)


def _way_out(app: str, error: WecomError) -> str:
    code = error.errcode
    if code in UNTRUSTED:
        ours = error.from_ip or "the address this server calls from"
        return f"add {ours} to the app's 企业可信IP (trusted IPs); it counts a minute later"
    if code in NO_FEATURE:
        return f"tick the app {app} under 可调用接口的应用, or take the feature out of apps.{app}.features"
    if code in WRONG_SECRET:
        return f"copy the app's Secret from the console into apps.{app}.secret"
    if code in WRONG_CORP:
        return "copy 企业ID from the console into corp.id"
    if code in WRONG_AGENT:
        return f"copy AgentId from the console into apps.{app}.agent_id"
    return "mend it on the page named here" if error.errcode else "try again"

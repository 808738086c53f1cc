"""One table of every errcode WeCom documents (wecom-api.md sections 1.3 and 7.9): class, reason, where to mend it.

A line reads: class, codes, English reason, Chinese reason and, where an admin can mend it, the page of the WeCom
admin console. Codes that mean different things in different calls are in the class that is safe in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scrm.wecom.error_refusals import REFUSALS

RETRIES_OF_BUSY_SYSTEM = 3  # -1: "at most 3 times" (wecom-api.md section 1.3)

APP = "应用管理 › 自建应用"
APP_SCOPE = "应用管理 › 自建应用 › 可见范围"
APP_IPS = "应用管理 › 自建应用 › 企业可信IP"
CONTACT_APPS = "客户与上下游 › 客户联系 › 可调用接口的应用"
CONTACT_MEMBERS = "客户与上下游 › 客户联系 › 权限配置 › 使用范围"
KF_APPS = "微信客服 › 可调用接口的应用"
KF_PAGE = "微信客服 › 客服账号"
CORP = "我的企业 › 企业信息"
MEMBERS = "通讯录"
ARCHIVE = "管理工具 › 会话内容存档"


@dataclass(frozen=True)
class Row:
    """What is known of one errcode.

    :param kind: value of an :class:`~scrm.wecom.errors.ErrorKind`
    :param page: page of the admin console where it is mended; None when no setting helps
    """

    kind: str
    en: str
    zh: str
    page: str | None = None


Line = tuple[str, Iterable[int], str, str] | tuple[str, Iterable[int], str, str, str]

PASSING: tuple[Line, ...] = (
    ("retryable", (-1,), "WeCom is busy", "系统繁忙"),
    ("retryable", (6000,), "changed by another call at the same time", "数据正被同时修改"),
    ("retryable", (41063,), "the mass send is still being dispatched", "群发正在派发中"),
    ("retryable", (41079,), "the moment is still being dispatched", "朋友圈任务正在派发"),
    ("retryable", (41096,), "another app is sending the welcome message just now", "其他应用正在发送欢迎语"),
    ("token_expired", (40014,), "the access token is not valid", "access_token 无效"),
    ("token_expired", (42001,), "the access token has expired", "access_token 已过期"),
    ("rate_limited", (45009,), "the limit of this API is reached", "接口调用超过频率限制"),
    ("busy", (45033,), "too many calls of this API at once", "接口并发调用超过限制"),
    ("busy", (41078,), "too many moment tasks under way", "进行中的朋友圈任务过多"),
)

MISSING: tuple[Line, ...] = (
    ("not_found", (40003,), "no such member, or its id is malformed", "成员 userid 无效"),
    ("not_found", (40050,), "no such app chat", "应用群聊不存在"),
    ("not_found", (40068,), "no such tag or tag group", "标签或标签组不存在"),
    ("not_found", (40073,), "no such openid", "openid 不存在"),
    ("not_found", (40088, 40089), "no such job, or its result was purged", "任务不存在或结果已清除"),
    ("not_found", (40096,), "no such customer", "外部联系人不存在"),
    ("not_found", (41044,), "no such contact way", "联系我方式不存在"),
    ("not_found", (41047,), "no such mass send", "群发任务不存在"),
    ("not_found", (41060,), "no such moment", "朋友圈不存在"),
    ("not_found", (41070, 41071), "no such intercept rule, or it was deleted", "敏感词规则不存在或已删除"),
    ("not_found", (41074, 41075), "no such product, or it was deleted", "商品不存在或已删除"),
    ("not_found", (46003, 46004), "no such menu or member", "菜单或成员不存在"),
    ("not_found", (49008,), "the group has been dissolved", "群已解散"),
    ("not_found", (60003, 60004, 60123, 60124), "no such department", "部门不存在"),
    (
        "not_found",
        (60111, 60136),
        "no such member: left, deleted or out of scope",
        "成员不存在或不在可见范围",
    ),
    ("not_found", (60252,), "no such customer service account", "客服账号不存在"),
    ("not_found", (84061,), "member and customer are not in contact", "成员与客户不存在联系关系"),
    ("not_found", (84084,), "the member does not follow this customer", "成员未添加该客户"),
    ("not_found", (86001, 86003, 86004, 86006), "no such app chat", "应用群聊不存在"),
    ("not_found", (90501, 90509), "not a customer group", "不是客户群"),
    ("not_found", (95000, 95004), "no such customer service account", "客服账号不存在"),
    ("not_found", (301061,), "no such user in the archive", "存档用户不存在"),
    ("not_found", (610003, 610004), "no such scene or customer", "场景或客户不存在"),
)

DENIED: tuple[Line, ...] = (
    ("denied", (40001,), "the app's secret is wrong", "应用 secret 错误", APP),
    ("denied", (40013,), "the corp id is wrong", "企业 ID 错误", CORP),
    ("denied", (40091,), "the secret belongs to another corp", "secret 属于其他企业", APP),
    ("denied", (40056, 301002), "the app's agent id is wrong for this secret", "agentid 与应用不匹配", APP),
    ("denied", (40057, 43012), "the app's callback address is not set or not valid", "应用回调地址无效", APP),
    ("denied", (40098,), "the member is not real-name verified", "成员未实名认证", MEMBERS),
    ("denied", (40143,), "the member who hands over is banned", "移交成员已被封禁", MEMBERS),
    ("denied", (41054,), "a member is not activated or not verified", "成员未激活或未实名", MEMBERS),
    ("denied", (41057,), "no WeChat developer account is bound", "未绑定微信开发者账号", CONTACT_APPS),
    ("denied", (43004,), "the member has not bound WeChat", "成员未绑定微信", MEMBERS),
    ("denied", (43009, 610016), "the corp is not verified", "企业未认证", CORP),
    ("denied", (48001, 48002), "the app may not call this API", "应用无权调用该接口", CONTACT_APPS),
    (
        "denied",
        (48006,),
        "the API permission was withdrawn for lack of use",
        "接口权限因未使用被回收",
        CONTACT_APPS,
    ),
    (
        "denied",
        (48007,),
        "the customer service account is not granted to the app",
        "客服账号未授权给应用",
        KF_APPS,
    ),
    (
        "denied",
        (48009,),
        "this secret may not read details from a new address",
        "通讯录密钥不可从新 IP 读取",
        APP_IPS,
    ),
    ("denied", (50001, 80001), "the domain is not registered for this app", "可信域名未配置", APP),
    ("denied", (50002,), "the member is outside the app's scope", "成员不在应用可见范围", APP_SCOPE),
    ("denied", (50003,), "the app is disabled", "应用已停用", APP),
    ("denied", (60011,), "no permission on this department", "无该部门权限", APP_SCOPE),
    ("denied", (60020,), "this server's address is not trusted", "服务器 IP 不在可信列表", APP_IPS),
    ("denied", (60021,), "the member is outside the app's visible range", "成员不在应用可见范围", APP_SCOPE),
    ("denied", (60031,), "the app is barred from calling", "应用被禁止调用接口", APP),
    ("denied", (81011,), "the tag was made by another app", "标签由其他应用创建，无权操作", CONTACT_APPS),
    ("denied", (84074,), "no permission for external contacts", "无外部联系人权限", CONTACT_MEMBERS),
    ("denied", (84083,), "the member may not use customer contact", "成员无客户联系权限", CONTACT_MEMBERS),
    ("denied", (95003,), "the corp is not verified for customer service", "企业未认证，客服受限", CORP),
    (
        "denied",
        (95011, 95012),
        "the customer service secret is of another edition",
        "客服密钥版本不符",
        KF_APPS,
    ),
    (
        "denied",
        (95014, 95019),
        "the servicer is not on duty or not activated",
        "接待人员不在接待或未激活",
        KF_PAGE,
    ),
    ("denied", (95015,), "exclusive service is set in the console", "已设置专属接待", KF_PAGE),
    ("denied", (95017,), "the customer service API is switched off", "客服 API 已关闭", KF_APPS),
    ("denied", (95021,), "not in the upgrade settings", "不在升级服务配置中", KF_PAGE),
    ("denied", (95023,), "the API is granted to another app", "接口已授权给其他应用", KF_APPS),
    ("denied", (95032,), "the customer service permission is lost", "客服组件权限已失效", KF_APPS),
    ("denied", (301007,), "the corp is dissolved or banned", "企业已解散或被封禁", CORP),
    (
        "denied",
        (301042,),
        "this server's address is not trusted by the archive",
        "存档可信 IP 未配置",
        ARCHIVE,
    ),
    (
        "denied",
        (301052, 301053),
        "the archive service has expired or is not enabled",
        "存档服务过期或未开启",
        ARCHIVE,
    ),
    (
        "denied",
        (610017, 610018),
        "miniprogram or open platform account of another corp",
        "小程序主体不一致",
        CORP,
    ),
    ("denied", (701008, 701099), "the member has no interface licence", "成员无接口许可", CORP),
)


def _lines() -> Iterable[tuple[int, Row]]:
    for kind, codes, en, zh, *page in (*PASSING, *MISSING, *DENIED):
        for code in codes:
            yield code, Row(kind, en, zh, page[0] if page else None)
    for codes, en, zh in REFUSALS:
        for code in codes:
            yield code, Row("stop", en, zh)


def _table() -> dict[int, Row]:
    table: dict[int, Row] = {}
    for code, row in _lines():
        if code in table:
            raise RuntimeError(f"errcode {code} stands twice in the table")
        table[code] = row
    return table


TABLE: dict[int, Row] = _table()


def row_of(errcode: int) -> Row | None:
    """What is known of ``errcode``; None when the documentation does not name it."""
    return TABLE.get(errcode)

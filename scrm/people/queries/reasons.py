"""Why two persons are put side by side, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = {
    "external_userid": ("客户ID", "external_userid"),
    "unionid": ("unionid", "unionid"),
    "member_no": ("会员号", "member number"),
    "card": ("卡号", "card"),
    "phone": ("手机号", "phone"),
    "email": ("邮箱", "e-mail"),
}
PARTS = {
    **KINDS,
    "phone_tail": ("手机尾号", "last digits of the phone"),
    "email_name": ("邮箱名", "name of the e-mail address"),
    "name": ("姓名", "name"),
    "address": ("地址", "address"),
    "birthday": ("生日", "birthday"),
    "gender": ("性别", "gender"),
}
SENTENCES = {
    "named_together": (
        "{source} 的一条记录同时使用了双方的标识（{zh}）",
        "a record of {source} names both ({en})",
    ),
    "two_values": ("双方的{zh}不同", "they have different {en}s"),
    "too_many": ("{zh}过多", "too many values of {en}"),
    "same_record": ("{source} 的同一条记录先后指向双方", "one record of {source} named both over time"),
    "alike": ("{zh}相似（{percent}%）", "{en} alike ({percent}%)"),
    "differs": ("{zh}不同", "{en} differs"),
    "unmerged": ("曾合并后又撤销", "a merge of the two was undone"),
}


def reason_words(reason: Mapping[str, Any]) -> dict[str, str]:
    """One reason as a phrase in both languages."""
    name = reason.get("part") or reason.get("kind") or ""
    zh, en = PARTS.get(name, (name, name))
    values = {
        "zh": zh,
        "en": en,
        "source": reason.get("source"),
        "percent": round(reason.get("score", 0) * 100),
    }
    chinese, english = SENTENCES[reason["code"]]
    return {"zh": chinese.format(**values), "en": english.format(**values)}

"""What a marketing person of the simulated company sets up, through the API: tags, welcomes, codes, rules, replies.

Everything is found by its name first, so that a second start of the company uses what the first one made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scrm.cli.story.api import Api, Json
from scrm.cli.story.waiting import wait_for

TAG_GROUP = "来源与意向"
TAGS = ("展会", "官网", "门店", "询价", "进群")
CHANNELS = {"展会易拉宝": "展会", "官网咨询": "官网", "门店扫码": "门店"}
WELCOME = "{customer}您好,我是{corp}的{staff},很高兴认识您!"
KEYWORDS = ["价格", "多少钱", "报价"]
REPLY = "您好,价格表稍后发给您。"
ACCEPT_SECONDS = 30.0


@dataclass(frozen=True)
class Marketing:
    """What was set up.

    :param tags: name → id
    :param codes: channel codes by name, as the API shows them
    """

    tags: dict[str, int]
    codes: dict[str, Json]


def set_up_marketing(api: Api) -> Marketing:
    """Make what is missing and wait until WeCom has accepted it."""
    staff = [one["id"] for one in api.every("staff", follows_customers="true", left="false")]
    tags = _tags(api)
    welcome = _once(api, "welcome-messages", name="默认欢迎语", text=WELCOME, is_default=True)
    codes = {
        name: _once(
            api, "channel-codes", name=name, staff_ids=staff, tag_ids=[tags[tag]], welcome_id=welcome["id"]
        )
        for name, tag in CHANNELS.items()
    }
    asks = {"kind": "said_keyword", "keywords": KEYWORDS, "match": "contains"}
    _once(api, "rules", name="问价打标签", condition=asks, add_tag_ids=[tags["询价"]], state="active")
    _once(
        api,
        "auto-replies",
        name="询价自动回复",
        channel="kf",
        match="contains",
        keywords=KEYWORDS,
        reply_text=REPLY,
    )
    return Marketing(
        tags, {name: _accepted(api, f"channel-codes/{code['id']}") for name, code in codes.items()}
    )


def tag_group_members(api: Api, marketing: Marketing, group_ids: list[int]) -> None:
    """A rule that gives members of these groups the tag 进群, applied to those who are members already."""
    condition = {"kind": "in_group", "group_ids": group_ids}
    tag = marketing.tags["进群"]
    rule = _once(api, "rules", name="进群打标签", condition=condition, add_tag_ids=[tag], state="active")
    api.post(f"rules/{rule['id']}/backfill")


def _tags(api: Api) -> dict[str, int]:
    wanted: Any = [{"name": tag} for tag in TAGS]
    group = _once(api, "tag-groups", name=TAG_GROUP, tags=wanted)
    return {tag["name"]: tag["id"] for tag in _accepted(api, f"tag-groups/{group['id']}")["tags"]}


def _once(api: Api, path: str, **body: Any) -> Json:
    return api.named(path, body["name"]) or api.post(path, **body)


def _accepted(api: Api, path: str) -> Json:
    """The thing at ``path`` once WeCom has it."""
    found: list[Json] = []

    def question() -> bool:
        found[:] = [api.get(path)]
        return "active" in (found[0].get("status"), found[0].get("state"))

    wait_for(f"WeCom's acceptance of {path}", question, ACCEPT_SECONDS)
    return found[0]

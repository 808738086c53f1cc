"""Invented names. Full names are shared strings, so that a million customers do not cost a million names."""

from __future__ import annotations

SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
GIVEN = [
    "伟",
    "芳",
    "娜",
    "敏",
    "静",
    "丽",
    "强",
    "磊",
    "军",
    "洋",
    "勇",
    "艳",
    "杰",
    "娟",
    "涛",
    "明",
    "超",
    "霞",
    "平",
    "刚",
    "桂英",
    "建国",
    "子涵",
    "雨桐",
    "浩然",
    "思远",
    "晓彤",
    "一诺",
    "欣怡",
    "梓轩",
]
FULL_NAMES = tuple(surname + given for surname in SURNAMES for given in GIVEN)
DEPARTMENTS = (
    "华东销售部",
    "华南销售部",
    "华北销售部",
    "客户成功部",
    "社群运营部",
    "门店一部",
    "门店二部",
    "市场部",
)
TAG_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("客户等级", ("重要", "普通", "潜在", "流失")),
    ("意向产品", ("咖啡", "茶饮", "烘焙", "器具", "周边")),
    ("来源渠道", ("门店", "公众号", "视频号", "朋友推荐", "线下活动")),
    ("生命周期", ("新客", "首购", "复购", "沉睡")),
)
GROUP_NAMES = ("会员福利群", "新品尝鲜群", "门店老友群", "咖啡爱好者", "周末活动群")

"""Members, customers, follows, tags, persons and what is known of them. Person n is customer n."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from scrm.cli.company_data.draws import CLOCK, one_of, shares, table, zipf
from scrm.cli.company_data.parts import Lines, Part
from scrm.cli.company_data.size import Size
from tags.models import Push

YEARS = 3 * 365
FAMILY = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰萍红建文云洁宇欣怡晨阳子涵梓"
TAG_GROUPS = ("等级", "来源", "兴趣", "品类", "价格带", "活跃", "城市", "阶段", "渠道", "服务")
TAGS_PER_GROUP = 20
CITIES = ("上海", "北京", "广州", "深圳", "杭州", "成都", "武汉", "南京", "西安", "重庆", "苏州", "长沙")
ADD_WAYS = table([1 if way not in {1, 3, 16} else 8 for way in range(17)])


def _staff(size: Size) -> Lines:
    for n in range(1, size.staff + 1):
        yield f"{n}\tstaff{n:04d}\t{FAMILY[n % len(FAMILY)]}{GIVEN[n * 7 % len(GIVEN)]}\t1\tt\t{size.until}\n"


def name(chooser: Random) -> str:
    """A Chinese name of two or three characters."""
    given = GIVEN[int(chooser.random() * len(GIVEN))]
    more = GIVEN[int(chooser.random() * len(GIVEN))] if chooser.random() < 0.7 else ""
    return FAMILY[int(chooser.random() * len(FAMILY))] + given + more


def external_userid(size: Size, n: int) -> str:
    """Of customer n: looks like WeCom's, 32 characters that begin with wm."""
    return f"wm{size.seed & 0xFFFF:04x}{n * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF:016x}{n:010x}"


def _customers(size: Size) -> Lines:
    chooser = size.chooser("customers")
    draw = chooser.random
    n = 0
    for day, count in shares(size.customers, size.until, YEARS):
        for _ in range(count):
            n += 1
            gender = int(draw() * 3)
            unionid = f"o{n * 0xD1342543DE82EF95 & 0xFFFFFFFFFFFFFFFF:016x}" if draw() < 0.7 else "\\N"
            userid = external_userid(size, n)
            yield f"{n}\t{userid}\t{name(chooser)}\t1\t{gender}\t{unionid}\t{day}\t{day}\n"


def _follows(size: Size) -> Lines:
    """Ids 1 … customers are the first follows; 15 % have a second, 8 % of all are over."""
    chooser = size.chooser("follows")
    draw, way = chooser.random, one_of(chooser, ADD_WAYS)
    staff = one_of(chooser, zipf(size.staff, 0.5))
    n, second = 0, size.customers
    for day, count in shares(size.customers, size.until, YEARS):
        for _ in range(count):
            n += 1
            first = staff()
            added = f"{day} {CLOCK[int(draw() * 86_400)]}"
            yield _follow(size, chooser, n, n, first, added, way())
            if draw() < 0.15 and size.staff > 1:
                second += 1
                other = (first + 1 + int(draw() * (size.staff - 1))) % size.staff
                yield _follow(size, chooser, second, n, other, added, way())


def _follow(size: Size, chooser: Random, follow: int, n: int, staff: int, added: str, way: int) -> str:
    over = chooser.random()
    by_customer = f"{size.until}" if over < 0.06 else "\\N"
    by_staff = f"{size.until}" if 0.06 <= over < 0.08 else "\\N"
    return f"{follow}\t{n}\t{staff + 1}\t{added}\t{added}\t{by_customer}\t{by_staff}\t{way}\n"


def _tag_groups(size: Size) -> Lines:
    """Kept here alone: the WeCom beside such a company knows none of the tags, and its second listing would take them away."""
    for n, title in enumerate(TAG_GROUPS, 1):
        yield f"{n}\t{Push.LOCAL}\t{title}\n"


def _tags(size: Size) -> Lines:
    for n in range(len(TAG_GROUPS) * TAGS_PER_GROUP):
        group, place = divmod(n, TAGS_PER_GROUP)
        yield f"{n + 1}\t{group + 1}\t{TAG_GROUPS[group]}{place + 1}\n"


def _assignments(size: Size) -> Lines:
    """``size.tags`` different tags on each customer's first follow, the first tags of a group most often."""
    chooser = size.chooser("tags")
    draw = one_of(chooser, zipf(TAGS_PER_GROUP, 0.8))
    groups, number = len(TAG_GROUPS), 0
    for n in range(1, size.customers + 1):
        taken: set[int] = set()
        for place in range(size.tags):
            tag = place % groups * TAGS_PER_GROUP + draw() + 1
            while tag in taken:  # the next free one of its group
                tag = tag + 1 if tag % TAGS_PER_GROUP else tag + 1 - TAGS_PER_GROUP
            taken.add(tag)
        for tag in sorted(taken):
            number += 1
            yield f"{number}\t{n}\t{n}\t{tag}\tactive\t{size.until}\n"


def _sources(size: Size) -> Lines:
    for number in range(1, size.customers * size.tags + 1):
        yield f"{number}\twecom\t{size.until}\n"


def _people(size: Size) -> Lines:
    for n in range(1, size.customers + 1):
        yield f"{n}\n"


def _identities(size: Size) -> Lines:
    draw = size.chooser("identities").random
    for n in range(1, size.customers + 1):
        yield f"{n}\texternal_userid\t{external_userid(size, n)}\twecom\n"
        if draw() < 0.6:
            yield f"{n}\tphone\t{phone(n)}\tmall\n"
        if draw() < 0.4:
            yield f"{n}\tmember_no\tM{n:08d}\tmall\n"


def phone(n: int) -> str:
    """E.164 of person n; every number is somebody's only, up to 100 million persons."""
    return f"+86139{n * 37_654_321 % 100_000_000:08d}"


def _customer_people(size: Size) -> Lines:
    for n in range(1, size.customers + 1):
        yield f"{n}\t{n}\n"


def _fields(size: Size) -> Lines:
    """Birthday of two in three, gender of all but a few, city of most; as the only value that was ever said."""
    chooser = size.chooser("fields")
    draw, city = chooser.random, one_of(chooser, zipf(len(CITIES), 0.7))
    for n in range(1, size.customers + 1):
        if draw() < 0.66:
            born = size.until - timedelta(days=int(16 * 365 + draw() * 50 * 365))
            yield f'{n}\tbirthday\t"{born}"\tmall\t{size.until}\n'
        if draw() < 0.9:
            yield f'{n}\tgender\t"{"female" if draw() < 0.6 else "male"}"\tmall\t{size.until}\n'
        if draw() < 0.8:
            yield f'{n}\taddress\t{{"city": "{CITIES[city()]}"}}\tmall\t{size.until}\n'


FIELDS = "person_id, field, value, source, at"
PARTS = (
    Part("staff", "id, userid, name, status, follows_customers, refreshed_at", lambda s: s.staff, _staff),
    Part("customers", "id, external_userid, name, type, gender, unionid, refreshed_at, created_at",
         lambda s: s.customers, _customers),
    Part("follows", "id, customer_id, staff_id, added_at, confirmed_at, deleted_by_customer_at, deleted_by_staff_at, add_way",
         lambda s: s.customers * 115 // 100, _follows),
    Part("tag_groups", "id, push, name", lambda _: len(TAG_GROUPS), _tag_groups),
    Part("tags", "id, group_id, name", lambda _: len(TAG_GROUPS) * TAGS_PER_GROUP, _tags),
    Part("tag_assignments", "id, customer_id, follow_id, tag_id, state, changed_at",
         lambda s: s.customers * s.tags, _assignments),
    Part("tag_sources", "assignment_id, source, since", lambda s: s.customers * s.tags, _sources),
    Part("people", "id", lambda s: s.customers, _people),
    Part("identities", "person_id, kind, value, source", lambda s: s.customers * 2, _identities),
    Part("customer_people", "customer_id, person_id", lambda s: s.customers, _customer_people),
    Part("person_values", FIELDS, lambda s: s.customers * 236 // 100, _fields),
    Part("person_fields", FIELDS, lambda s: s.customers * 236 // 100, _fields),
)  # fmt: skip

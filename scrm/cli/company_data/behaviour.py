"""Event types, events, products and orders."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from random import Random

import orjson

from scrm.cli.company_data.draws import CLOCK, one_of, persons, seconds_of_day, shares, table, zipf
from scrm.cli.company_data.parts import Lines, Part
from scrm.cli.company_data.size import Size

DAYS = 365
ORDER_DAYS = 2 * 365
SOURCE = "mall"
TYPES = {  # key: (zh, en, weight, properties)
    "page_viewed": ("浏览页面", "viewed a page", 40, {"page": "text", "seconds": "number"}),
    "product_viewed": ("浏览商品", "viewed a product", 25, {"sku": "text", "category": "text", "price": "number"}),
    "app_opened": ("打开小程序", "opened the mini program", 15, {"seconds": "number"}),
    "cart_added": ("加入购物车", "added to the cart", 8, {"sku": "text", "category": "text", "price": "number"}),
    "coupon_used": ("使用优惠券", "used a coupon", 4, {"coupon": "text", "amount": "number"}),
    "checkout_started": ("开始结算", "started the checkout", 4, {"amount": "number"}),
    "store_visited": ("到店", "visited a shop", 3, {"shop": "text"}),
    "support_contacted": ("联系客服", "contacted support", 1, {"topic": "text"}),
}  # fmt: skip
WORDS = {
    "page": ("页面", "page"), "seconds": ("秒数", "seconds"), "sku": ("商品编号", "SKU"), "category": ("品类", "category"),
    "price": ("价格", "price"), "coupon": ("优惠券", "coupon"), "amount": ("金额", "amount"), "shop": ("门店", "shop"),
    "topic": ("主题", "topic"),
}  # fmt: skip
CATEGORIES = ("鞋", "女装", "男装", "童装", "美妆", "家居", "食品", "数码", "母婴", "运动", "箱包", "图书")
SHOPS = ("外滩店", "徐家汇店", "国贸店", "天河店", "南山店", "西湖店", "春熙路店", "线上")
REGIONS = ("华东", "华东", "华北", "华南", "华南", "华东", "西南", "线上")
NULL = "\\N"
SPREAD = 4096  # different properties of a type that are kept ready


def price(n: int) -> float:
    """Of product n: a few are dear."""
    return round(9.9 + math.pow(n * 7919 % 1000, 1.6) / 40, 1)


def category(n: int) -> str:
    """Of product n."""
    return CATEGORIES[n * 31 % len(CATEGORIES)]


def _types(size: Size) -> Lines:
    for n, (key, (zh, en, _, properties)) in enumerate(TYPES.items(), 1):
        named = [
            {
                "key": name,
                "type": kind,
                "name_zh": WORDS[name][0],
                "name_en": WORDS[name][1],
                "required": False,
            }
            for name, kind in properties.items()
        ]
        yield f"{n}\t{key}\t{zh}\t{en}\t{orjson.dumps(named).decode()}\n"


def _events(size: Size) -> Lines:
    chooser = size.chooser("events")
    kind = one_of(chooser, table([weight for _, _, weight, _ in TYPES.values()]))
    person, second, bits = persons(chooser, size.customers), seconds_of_day(chooser), chooser.getrandbits
    ready = [_ready(size, chooser, key) for key in TYPES]
    number = 0
    for day, count in shares(size.events, size.until, DAYS):
        for _ in range(count):
            number += 1
            type_ = kind()
            yield (
                f"{number}\t{day} {CLOCK[second()]}\t{person()}\t{type_ + 1}\t{ready[type_][bits(12)]}\t{SOURCE}\te{number}\n"
            )


def _ready(size: Size, chooser: Random, key: str) -> list[str]:
    """SPREAD texts of properties of a type."""
    product = one_of(chooser, zipf(size.products))
    makers: dict[str, Callable[[int], object]] = {
        "page": lambda n: f"/p/{n % 200}",
        "seconds": lambda _: chooser.randrange(1, 6000) / 10,
        "sku": lambda n: f"S{n:05d}",
        "category": category,
        "price": price,
        "coupon": lambda n: f"C{n % 30}",
        "amount": lambda _: chooser.randrange(100, 50_000) / 100,
        "shop": lambda n: SHOPS[n % len(SHOPS)],
        "topic": lambda n: ("退货", "物流", "尺码", "发票")[n % 4],
    }
    found = []
    for _ in range(SPREAD):
        n = product() + 1
        found.append(orjson.dumps({name: makers[name](n) for name in TYPES[key][3]}).decode())
    return found


def _products(size: Size) -> Lines:
    for n in range(1, size.products + 1):
        yield (
            f"{n}\t{SOURCE}\tS{n:05d}\t{category(n)}{n}\t{category(n)}\t品牌{n % 40}\tS{n:05d}\t{price(n)}\tCNY\t{size.until}\n"
        )


def _order_rows(size: Size) -> Lines:
    """What the tables of orders are made of: times of statuses, and the lines' products and quantities as JSON."""
    chooser = size.chooser("orders")
    draw, person, second = chooser.random, persons(chooser, size.customers, 2.5), seconds_of_day(chooser)
    product = one_of(chooser, zipf(size.products))
    number = 0
    for day, count in shares(size.orders, size.until, ORDER_DAYS):
        for _ in range(count):
            number += 1
            placed = f"{day} {CLOCK[second()]}"
            paid, shipped, completed, cancelled, refunded = _fate(draw, day, placed, size.until)
            lines = [(product() + 1, 1 + (draw() < 0.2)) for _ in range(1 + int(draw() ** 3 * 5))]
            amount = round(sum(price(n) * quantity for n, quantity in lines), 1)
            back = amount if refunded != NULL else 0
            shop = int(draw() * len(SHOPS))
            seller = 1 + int(draw() * size.staff)
            yield (
                f"{number}\t{person()}\t{placed}\t{paid}\t{shipped}\t{completed}\t{cancelled}\t{refunded}\t{amount}\t{back}"
                f"\t{SHOPS[shop]}\t{REGIONS[shop]}\tstaff{seller:04d}\t{_json(lines)}\n"
            )


def _json(lines: list[tuple[int, int]]) -> str:
    return "[" + ",".join(f"[{n},{quantity},{price(n) * quantity:.1f}]" for n, quantity in lines) + "]"


def _fate(draw: Callable[[], float], day: date, placed: str, until: date) -> tuple[str, ...]:
    """When an order was paid, shipped, completed, cancelled, refunded: days after each other, or not yet, or never."""
    end = draw()
    later = [f"{at} 03:00:00" if (at := day + timedelta(days=n)) <= until else NULL for n in (1, 5, 8)]
    if end < 0.06:  # never paid
        return NULL, NULL, NULL, later[0], NULL
    return placed, later[0], later[1], NULL, later[2] if end > 0.95 else NULL


ORDER_COLUMNS = (
    "id, person_id, placed_at, paid_at, shipped_at, completed_at, cancelled_at, refunded_at, amount, refunded_amount,"
    " shop, region, seller, lines"
)
STAGE = """CREATE TEMP TABLE generated_orders (id bigint, person_id bigint, placed_at timestamptz, paid_at timestamptz,
  shipped_at timestamptz, completed_at timestamptz, cancelled_at timestamptz, refunded_at timestamptz, amount numeric,
  refunded_amount numeric, shop text, region text, seller text, lines jsonb) ON COMMIT DROP"""
PARTS = (
    Part("event_types", "id, key, name_zh, name_en, properties", lambda _: len(TYPES), _types),
    Part("behaviour_events", "id, at, person_id, type_id, properties, source, source_id", lambda s: s.events, _events),
    Part("products", "id, source, source_id, name, category, brand, sku, price, currency, version_at",
         lambda s: s.products, _products),
    Part("generated_orders", ORDER_COLUMNS, lambda s: s.orders, _order_rows),
)  # fmt: skip
DERIVED = (
    "INSERT INTO event_keys (source, source_id, event_id, at) SELECT source, source_id, id, at FROM behaviour_events",
    """INSERT INTO event_days (type_id, person_id, day, count)
    SELECT type_id, person_id, CAST(timezone(%(zone)s, at) AS date) AS day, count(*) FROM behaviour_events
    GROUP BY 1, 2, 3""",
    """INSERT INTO orders (id, person_id, source, source_id, status, status_at, placed_at, paid_at, shipped_at,
      completed_at, cancelled_at, refunded_at, amount, refunded_amount, currency, shop, region, seller, version_at)
    SELECT id, person_id, 'mall', 'o' || id, CASE WHEN refunded_at IS NOT NULL THEN 'refunded'
        WHEN cancelled_at IS NOT NULL THEN 'cancelled' WHEN completed_at IS NOT NULL THEN 'completed'
        WHEN shipped_at IS NOT NULL THEN 'shipped' WHEN paid_at IS NOT NULL THEN 'paid' ELSE 'placed' END,
      COALESCE(refunded_at, cancelled_at, completed_at, shipped_at, paid_at, placed_at), placed_at, paid_at, shipped_at,
      completed_at, cancelled_at, refunded_at, amount, refunded_amount, 'CNY', shop, region, seller, placed_at
    FROM generated_orders ORDER BY id""",
    """INSERT INTO order_lines (order_id, line_no, product_ref, product_id, name, quantity, amount)
    SELECT o.id, l.no, p.source_id, p.id, p.name, CAST(l.line ->> 1 AS numeric), CAST(l.line ->> 2 AS numeric)
    FROM generated_orders o CROSS JOIN jsonb_array_elements(o.lines) WITH ORDINALITY AS l(line, no)
    JOIN products p ON p.id = CAST(l.line ->> 0 AS bigint) ORDER BY 1, 2""",
    """INSERT INTO order_statuses (order_id, status, at)
    SELECT o.id, s.status, s.at FROM generated_orders o CROSS JOIN LATERAL (VALUES ('placed', o.placed_at),
      ('paid', o.paid_at), ('shipped', o.shipped_at), ('completed', o.completed_at), ('cancelled', o.cancelled_at),
      ('refunded', o.refunded_at)) AS s(status, at) WHERE s.at IS NOT NULL""",
)
"""What follows from the copied rows."""

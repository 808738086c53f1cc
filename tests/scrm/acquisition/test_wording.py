"""Filling variables: nothing a nickname holds can surprise, and the limit is kept by cutting names only."""

from hypothesis import example, given
from hypothesis import strategies as st

from scrm.acquisition.service.wording import VARIABLES, cut, fill, split

AWKWARD = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["$1", "\\1", "\\g<0>", "{staff}", "{customer}", "{0}", "{}", "}{", "%s", "%(corp)s", "${corp}"]
    ),
)


@given(AWKWARD, AWKWARD, AWKWARD)
@example("{staff}", "{corp}", "{customer}")
def test_values_come_out_exactly_as_they_are(customer, staff, corp):
    values = {"customer": customer, "staff": staff, "corp": corp}
    assert fill("你好{customer}，我是{staff}@{corp}。", values) == f"你好{customer}，我是{staff}@{corp}。"


@given(st.text(alphabet="{}abcustomerstaffcorp $\\你"))
def test_a_template_is_split_without_losing_anything(template):
    parts = split(template)
    assert "".join(f"{{{part}}}" if variable else part for part, variable in parts) == template
    assert all(part in VARIABLES for part, variable in parts if variable)


@given(AWKWARD, st.integers(0, 60))
def test_only_the_value_is_cut_and_never_inside_a_character(name, limit):
    filled = fill("你好{customer}！", {"customer": name}, limit)
    assert filled.startswith("你好")
    assert filled.endswith("！")
    assert name.startswith(filled[2:-1])
    assert len(filled.encode()) <= max(limit, len("你好！".encode()))


def test_a_long_name_gives_way_at_4000_bytes():
    template = "好" * 1330 + "{customer}"  # 3990 bytes without the name
    filled = fill(template, {"customer": "王小明王小明"})
    assert filled == "好" * 1330 + "王小明"
    assert len(filled.encode()) <= 4000


def test_unknown_braces_stay_as_they_are():
    assert fill("{name} {customer {corp}", {"corp": "示例"}) == "{name} {customer 示例"


def test_cutting_leaves_whole_characters():
    assert cut("你好", 5) == "你"
    assert cut("你好", -1) == ""

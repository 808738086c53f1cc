"""The calls in docs/audiences.md work, one after the other."""

import re
from pathlib import Path

import orjson

DOCUMENT = Path(__file__).parents[3] / "docs" / "audiences.md"
LINE = re.compile(r"(?P<method>GET|POST) +(?P<path>\S+)(?: (?P<body>\{.*?\}))? *(?:→ (?P<id>\d+))?$")


def test_the_calls_in_the_guide_work(api, world):
    world.followed(name="新")
    [block] = re.findall(r"```http\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    ids: dict[str, str] = {}
    for line in block.splitlines():
        real = re.sub(r"(?<=[/\[ ])(?:7|8)\d(?=[/\],}?]|$)", lambda found: ids.get(found[0], found[0]), line)
        call = LINE.fullmatch(real)
        assert call, line
        body = orjson.loads(call["body"]) if call["body"] else None
        answer = api.open(call["path"], method=call["method"], json=body)
        assert answer.status_code in (200, 201, 202), (line, answer.get_data(as_text=True))
        if call["id"]:
            ids[call["id"]] = str(answer.json["id"])
    assert len(ids) == 4

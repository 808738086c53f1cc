"""docs/webhooks.md: its tables are the program's, and its example works on what the program sends."""

import re
import time
from pathlib import Path

import pytest

from scrm.kernel.db import transaction
from scrm.webhooks.service.endpoints import ping
from scrm.webhooks.service.reference import tables
from tests.scrm.webhooks.conftest import deliver_all, subscribe_to

PAGE = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()


@pytest.mark.parametrize("name", tables())
def test_the_tables_are_those_of_the_program(name):
    written = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL)
    assert written is not None
    assert written[1] == tables()[name], "run `scrm webhooks reference` and paste what it prints"


def test_the_example_for_receivers_works(session, app, receiver):
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    shown = {}
    exec(code, shown)  # noqa: S102  # our own page
    verify = shown["verify"]
    id_, secret = subscribe_to(receiver.url)
    _, other = subscribe_to(receiver.url)
    with transaction():
        ping(id_)
    deliver_all(app)
    [request] = receiver.requests
    assert verify(secret, request.headers, request.body) == request.headers["webhook-id"]
    for headers, body, key in (
        (request.headers, request.body + b" ", secret),
        (request.headers, request.body, other),
        ({**request.headers, "webhook-id": "evt_2"}, request.body, secret),
        ({**request.headers, "webhook-timestamp": str(int(time.time()) - 400)}, request.body, secret),
    ):
        with pytest.raises(ValueError):
            verify(key, headers, body)

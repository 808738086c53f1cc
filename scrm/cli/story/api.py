"""Our public API as a client sees it: what demo and simulated company go through, like anybody else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import requests

from scrm.cli.exits import Problem

Json = dict[str, Any]
PAGE = 200
TIMEOUT_SECONDS = 30


class Api:
    """Calls of ``/api/v1`` with an API key.

    :raises Problem: (every method) when the answer is not 2xx, with the problem document's detail
    """

    def __init__(self, base_url: str, token: str) -> None:
        self._base = f"{base_url.rstrip('/')}/api/v1"
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy variable must not catch loopback calls
        self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: Any) -> Json:
        """One GET; None values of the query are left out."""
        return self._call("GET", path, params={k: v for k, v in query.items() if v is not None})

    def post(self, path: str, **body: Any) -> Json:
        """One POST, with an Idempotency-Key of its own."""
        return self._call("POST", path, json=body, headers={"Idempotency-Key": uuid.uuid4().hex})

    def patch(self, path: str, **body: Any) -> Json:
        """One PATCH."""
        return self._call("PATCH", path, json=body)

    def every(self, path: str, **query: Any) -> Iterator[Json]:
        """All items of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, limit=PAGE, **query)
            yield from page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def named(self, path: str, name: str) -> Json | None:
        """The newest item of a list with this name, or None."""
        return next((item for item in self.every(path) if item["name"] == name), None)

    def _call(self, method: str, path: str, **given: Any) -> Json:
        answer = self._session.request(method, f"{self._base}/{path}", timeout=TIMEOUT_SECONDS, **given)
        if not answer.ok:
            raise Problem(f"{method} /api/v1/{path} was answered {answer.status_code}: {_detail(answer)}")
        data: Json = answer.json() if answer.content else {}
        return data


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("detail"))
    except requests.JSONDecodeError:
        return answer.text[:200]

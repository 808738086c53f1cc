"""How a control call travels: JSON over HTTP to /control/."""

from __future__ import annotations

from typing import Any

import requests

Json = dict[str, Any]
DEFAULT_TIMEOUT = 120.0  # a large population takes seconds


class SandboxControlError(RuntimeError):
    """The sandbox refused a control call; the message is its one sentence."""

    def __init__(self, status: int, message: str) -> None:
        """`status` is the HTTP status."""
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class ControlClient:
    """The transport: JSON over HTTP to /control/, SandboxControlError on anything but 200."""

    def __init__(self, base_url: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        """`base_url` like http://127.0.0.1:8701; `timeout` in seconds per call."""
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy variable must not catch loopback calls

    def call(self, method: str, path: str, body: Json | None = None, **query: Any) -> Json:
        """Any control call; `None` values of `query` are left out."""
        answer = self._session.request(
            method,
            f"{self.base_url}/control{path}",
            json=body,
            params={key: value for key, value in query.items() if value is not None},
            timeout=self._timeout,
        )
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        data: Json = answer.json() if is_json else {}
        if answer.status_code != requests.codes.ok:
            raise SandboxControlError(answer.status_code, str(data.get("error", answer.reason)))
        return data

    def post(self, path: str, **body: Any) -> Json:
        """POST; `None` values are left out."""
        return self.call("POST", path, {key: value for key, value in body.items() if value is not None})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

"""A typed client of the control API, for tests, `scrm demo` and scripts."""

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
        data: Json = answer.json() if answer.content else {}
        if answer.status_code != requests.codes.ok:
            raise SandboxControlError(answer.status_code, str(data.get("error", answer.reason)))
        return data

    def post(self, path: str, **body: Any) -> Json:
        """POST; `None` values are left out."""
        return self.call("POST", path, {key: value for key, value in body.items() if value is not None})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class CorpControl(ControlClient):
    """The corp as a whole."""

    def overview(self) -> Json:
        """Counts, apps, the clock and the limits in force."""
        return self.call("GET", "/")

    def population(self, **plan: Any) -> Json:
        """Build a seeded corp; the keys are those of docs/sandbox.md, for example members=5, customers=200."""
        return self.post("/population", **plan)

    def reset(self, seed: int | None = None) -> Json:
        """Back to an empty corp; callback addresses stay."""
        return self.post("/reset", seed=seed)

    def advance_clock(self, seconds: float) -> float:
        """Move the sandbox's clock forward; returns its new time (Unix seconds)."""
        return float(self.post("/clock", advance_seconds=seconds)["now"])

    def set_callback(self, url: str | None, app: str = "main", verify: bool = True) -> Json:
        """Where an app is called back; `verify` makes the echo test first, as WeCom does."""
        return self.call("POST", "/apps/callback", {"app": app, "url": url, "verify": verify})

    def set_limits(self, **limits: Any) -> Json:
        """Change figures of limits_config.Limits; returns all in force."""
        return self.call("POST", "/limits", limits)

    def expire_tokens(self, app: str | None = None) -> list[str]:
        """Invalidate the tokens in use (42001 from now on); returns the apps that had one."""
        return list(self.post("/tokens/expire", app=app)["expired"])

    def log(
        self, api: str | None = None, since: int = 0, limit: int | None = None, everything: bool = False
    ) -> list[Json]:
        """Calls accepted (with `everything` also refused ones), oldest first."""
        flag = "1" if everything else None
        return list(self.call("GET", "/log", api=api, since=since, limit=limit, all=flag)["calls"])

    def log_counts(self) -> dict[str, dict[str, int]]:
        """{api: {errcode: number of calls}}."""
        return dict(self.call("GET", "/log/counts")["counts"])

    def callbacks(self, since: int = 0, limit: int | None = None, **filters: Any) -> list[Json]:
        """Delivery records; filters: event, change_type, app, status."""
        return list(self.call("GET", "/callbacks", since=since, limit=limit, **filters)["callbacks"])

    def wait_callbacks(self, seconds: float = 10.0) -> bool:
        """Wait until every callback is delivered or given up; False when time ran out."""
        return bool(self.post("/callbacks/wait", seconds=seconds)["idle"])

    def fault(self, kind: str, api: str | None = None, times: int | None = 1, **more: Any) -> Json:
        """Inject a fault; `times` None = until clear_faults. More: errcode, seconds, probability, event, copies…"""
        body: Json = {"kind": kind, "times": times, **more}
        if api is not None:
            body["api"] = api
        return self.call("POST", "/faults", body)

    def clear_faults(self) -> Json:
        """Remove all faults; calls that hang are let go."""
        return self.call("DELETE", "/faults")


class PeopleControl(ControlClient):
    """Customers and members acting in their clients."""

    def scan(self, config_id: str | None = None, state: str | None = None, **person: Any) -> list[Json]:
        """Scan a contact way; person: name, unionid, external_userid, count, half, full_after."""
        return list(self.post("/people/scan", config_id=config_id, state=state, **person)["people"])

    def add(self, userid: str, **person: Any) -> list[Json]:
        """Add a member directly; person as in `scan`, also state, add_way, remark."""
        return list(self.post("/people/add", userid=userid, **person)["people"])

    def delete_follow(self, userid: str, external_userid: str) -> Json:
        """The customer deletes the member."""
        return self.post("/people/delete_follow", userid=userid, external_userid=external_userid)

    def delete_contact(self, userid: str, external_userid: str, source: str | None = None) -> Json:
        """The member deletes the customer."""
        return self.post(
            "/people/delete_contact", userid=userid, external_userid=external_userid, source=source
        )

    def edit(self, userid: str, external_userid: str, **changes: Any) -> Json:
        """The member edits in the client: remark, description, tags, add_tags, remove_tags, mobiles…"""
        return self.post("/people/edit", userid=userid, external_userid=external_userid, **changes)

    def talk(self, userid: str, external_userid: str) -> Json:
        """Member and customer chat (welcome codes become 41051)."""
        return self.post("/people/talk", userid=userid, external_userid=external_userid)

    def approve_archive(self, userid: str, external_userid: str) -> Json:
        """The customer agrees to session archiving."""
        return self.post("/people/approve_archive", userid=userid, external_userid=external_userid)

    def transfer_fail(self, userid: str, external_userid: str, reason: str = "customer_refused") -> Json:
        """A transfer to `userid` failed."""
        return self.post(
            "/people/transfer_fail", userid=userid, external_userid=external_userid, reason=reason
        )

    def transfer_done(self, handover_userid: str, takeover_userid: str, external_userid: str) -> Json:
        """An on-job transfer completed."""
        return self.post(
            "/people/transfer_done",
            handover_userid=handover_userid,
            takeover_userid=takeover_userid,
            external_userid=external_userid,
        )


class SandboxControl(CorpControl, PeopleControl):
    """Everything."""

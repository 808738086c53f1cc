"""A typed client of the control API, for tests, `scrm demo` and scripts."""

from __future__ import annotations

import time
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

    def snapshot(self) -> Json:
        """Write the state file now (a sandbox started with --state-file)."""
        return self.post("/snapshot")

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

    def resend_callbacks(self, ids: list[int]) -> Json:
        """Send these deliveries once more, as a retry WeCom thought necessary; unknown ids are a 404."""
        return self.post("/callbacks/resend", ids=ids)

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


class GroupControl(ControlClient):
    """Customer groups and mass sends."""

    def create_group(self, owner: str, people: list[str] | None = None, name: str | None = None) -> Json:
        """A member makes a group; returns chat_id and member_version."""
        return self.post("/groups/create", owner=owner, people=people, name=name)

    def join_group(self, chat_id: str, people: list[str], join_scene: int = 3, **more: str) -> Json:
        """People join (1 invited, 2 link, 3 QR); more: invitor, state."""
        return self.post("/groups/join", chat_id=chat_id, people=people, join_scene=join_scene, **more)

    def leave_group(self, chat_id: str, people: list[str], removed: bool = False) -> Json:
        """People leave, or are removed."""
        return self.post("/groups/leave", chat_id=chat_id, people=people, removed=removed)

    def rename_group(self, chat_id: str, name: str) -> Json:
        """change_name."""
        return self.post("/groups/rename", chat_id=chat_id, name=name)

    def notice_group(self, chat_id: str, notice: str) -> Json:
        """change_notice."""
        return self.post("/groups/notice", chat_id=chat_id, notice=notice)

    def own_group(self, chat_id: str, owner: str) -> Json:
        """change_owner."""
        return self.post("/groups/owner", chat_id=chat_id, owner=owner)

    def dismiss_group(self, chat_id: str) -> Json:
        """The group is dissolved."""
        return self.post("/groups/dismiss", chat_id=chat_id)

    def confirm_broadcast(self, msgid: str, userids: list[str] | None = None) -> list[str]:
        """Senders press send (None: everybody who has not); returns who did."""
        return list(self.post("/broadcast/confirm", msgid=msgid, userids=userids)["confirmed"])


class ServiceControl(ControlClient):
    """Customer service (kf) and members' messages to the app."""

    def chat(self, external_userid: str | None = None, content: str | None = None, **more: Any) -> Json:
        """A customer writes to a kf account; more: open_kfid, name, msgtype, message, menu_id, count."""
        return self.post("/people/chat", external_userid=external_userid, content=content, **more)

    def kf_enter(self, external_userid: str | None = None, **more: Any) -> Json:
        """A customer opens the conversation; returns welcome_code or None. More: open_kfid, scene, scene_param."""
        return self.post("/kf/enter", external_userid=external_userid, **more)

    def servicer_reply(self, userid: str, external_userid: str, **more: Any) -> Json:
        """A servicer answers in the client; more: open_kfid, content, msgtype, message."""
        return self.post("/kf/servicer_reply", userid=userid, external_userid=external_userid, **more)

    def servicer_take(self, userid: str, external_userid: str, open_kfid: str | None = None) -> Json:
        """A servicer takes the session."""
        return self.post(
            "/kf/servicer_take", userid=userid, external_userid=external_userid, open_kfid=open_kfid
        )

    def servicer_end(self, external_userid: str, open_kfid: str | None = None) -> Json:
        """The servicer ends the session."""
        return self.post("/kf/servicer_end", external_userid=external_userid, open_kfid=open_kfid)

    def servicer_status(self, userid: str, serving: bool, open_kfid: str | None = None) -> Json:
        """A servicer starts or stops serving."""
        return self.post("/kf/servicer_status", userid=userid, serving=serving, open_kfid=open_kfid)

    def kf_event(self, event: Json, open_kfid: str | None = None) -> Json:
        """Any event of wecom-api.md §7.4 into the account's log."""
        return self.post("/kf/event", event=event, open_kfid=open_kfid)

    def kf_grant(self, apps: list[str] | None, open_kfid: str | None = None) -> Json:
        """Grant a kf account to these apps only (None: to all)."""
        return self.call("POST", "/kf/grant", {"apps": apps, "open_kfid": open_kfid})

    def staff_message(self, userid: str, content: str | None = None, **more: Any) -> Json:
        """A member writes to the app; more: app, msgtype, fields {field of §3.7: text}."""
        return self.post("/staff/message", userid=userid, content=content, **more)

    def staff_event(self, userid: str, event: str, **more: Any) -> Json:
        """subscribe, enter_agent, click …; more: app, fields."""
        return self.post("/staff/event", userid=userid, event=event, **more)


class ConsoleControl(ControlClient):
    """The admin console, streams of traffic, and the truth."""

    def create_tags(self, group_name: str, names: list[str]) -> Json:
        """Tags in a group of that name; returns group_id and tags {name: id}."""
        return self.post("/tags/create", group_name=group_name, names=names)

    def edit_tag(self, tag_id: str, name: str | None = None, order: int | None = None) -> Json:
        """Rename or reorder a tag or group."""
        return self.post("/tags/edit", id=tag_id, name=name, order=order)

    def delete_tag(self, tag_id: str) -> Json:
        """Delete a tag or group."""
        return self.post("/tags/delete", id=tag_id)

    def shuffle_tags(self, group_id: str) -> Json:
        """Reorder a group's tags."""
        return self.post("/tags/shuffle", group_id=group_id)

    def create_staff(self, userid: str, name: str, department: int = 1) -> Json:
        """A new member."""
        return self.post("/staff/create", userid=userid, name=name, department=department)

    def delete_staff(self, userid: str) -> Json:
        """A member leaves the corp."""
        return self.post("/staff/delete", userid=userid)

    def staff_behaviour(self, userids: list[str] | None = None, **changes: Any) -> Json:
        """confirm_seconds (None: never), console_welcome, contact_feature, status; userids None: everybody."""
        body: Json = dict(changes)
        if userids is not None:
            body["userids"] = userids
        return self.call("POST", "/staff/behaviour", body)

    def create_department(self, name: str, parentid: int = 1) -> int:
        """A new department; returns its id."""
        return int(self.post("/departments/create", name=name, parentid=parentid)["id"])

    def raw_event(self, event: str, xml: str = "", app: str | None = None, **more: str) -> Json:
        """Any event; `xml` goes after the common fields. More: feature (who may hear it)."""
        return self.post("/events/raw", event=event, xml=xml, app=app, **more)

    def state(self, entity: str, item_id: str) -> Json:
        """The truth about one thing, for example state("customer", external_userid)."""
        return self.call("GET", f"/state/{entity}/{item_id}")

    def state_ids(self, entity: str) -> list[str]:
        """Ids of all things of a kind."""
        return list(self.call("GET", f"/state/{entity}")["ids"])

    def start_traffic(self, **plan: Any) -> Json:
        """mix, rate, seconds or count, prepare, connections; returns the run with its id."""
        return self.post("/traffic", **plan)

    def traffic(self, run_id: int) -> Json:
        """Progress of a run."""
        return self.call("GET", f"/traffic/{run_id}")

    def stop_traffic(self, run_id: int) -> Json:
        """End a run early."""
        return self.call("DELETE", f"/traffic/{run_id}")

    def wait_traffic(self, run_id: int, seconds: float = 120.0) -> Json:
        """Poll until the run is done; TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        while (run := self.traffic(run_id))["state"] != "done":
            if time.monotonic() > deadline:
                raise TimeoutError(f"traffic run {run_id} is still {run['state']}")
            time.sleep(0.1)
        return run


class SandboxControl(CorpControl, PeopleControl, GroupControl, ServiceControl, ConsoleControl):
    """Everything."""

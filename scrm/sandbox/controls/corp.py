"""Control of the corp as a whole."""

from __future__ import annotations

from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json

OUTAGES: dict[str, tuple[str, Json]] = {
    "busy": ("errcode", {"errcode": -1}),
    "hang": ("hang", {}),
    "http": ("html", {}),
    "cut": ("disconnect", {}),
}


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

    def skew_clock(self, seconds: float) -> None:
        """WeCom's clock is so many seconds ahead of this machine's (Date header, times of callbacks); 0: right again."""
        self.post("/clock", skew_seconds=seconds)

    def callbacks_for_api_writes(self, told: bool = True) -> Json:
        """From now on changes asked through the API make callbacks too, as some sources say; False: they do not."""
        return self.post("/api_writes", callbacks=told)

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
        """Inject a fault; `times` None = until clear_faults. More: errcode, seconds, probability, event, copies,
        span (seconds of the sandbox's clock after which an API fault ends; give times=None with it)…
        """
        body: Json = {"kind": kind, "times": times, **more}
        if api is not None:
            body["api"] = api
        return self.call("POST", "/faults", body)

    def outage(self, mode: str = "busy", span: float | None = None, api: str | None = None) -> Json:
        """Every API (or those of the pattern `api`) is down for `span` seconds of the sandbox's clock, None: until
        clear_faults. `mode`: busy (-1), hang, http (502), cut. For a refused connection see testing.offline().
        """
        kind, more = OUTAGES[mode]
        return self.fault(kind, api=api, times=None, **more, **({} if span is None else {"span": span}))

    def clear_faults(self) -> Json:
        """Remove all faults; calls that hang are let go."""
        return self.call("DELETE", "/faults")

"""Control of the corp as a whole: population, clock, log, deliveries, faults, limits, apps, reset."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from flask import request

from scrm.sandbox.api_faults import KINDS as API_KINDS
from scrm.sandbox.api_faults import ApiFault
from scrm.sandbox.callbacks.faults import KINDS as CALLBACK_KINDS
from scrm.sandbox.callbacks.faults import CallbackFault
from scrm.sandbox.callbacks.verify import verify_callback
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.control_api.resetting import reset
from scrm.sandbox.errors import ControlError
from scrm.sandbox.people.population import Plan, populate
from scrm.sandbox.state_file import save

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
LOG_DEFAULT, LOG_MAX = 1_000, 100_000


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("GET", "/"): lambda: _overview(sandbox),
        ("POST", "/population"): lambda: _population(sandbox),
        ("POST", "/clock"): lambda: _clock(sandbox),
        ("GET", "/log"): lambda: _log(sandbox),
        ("GET", "/log/counts"): lambda: {"counts": sandbox.log.counts()},
        ("GET", "/callbacks"): lambda: _callbacks(sandbox),
        ("POST", "/callbacks/wait"): lambda: _wait(sandbox),
        ("POST", "/callbacks/resend"): lambda: _resend(sandbox),
        ("POST", "/faults"): lambda: _fault(sandbox),
        ("GET", "/faults"): lambda: _faults(sandbox),
        ("DELETE", "/faults"): lambda: _clear_faults(sandbox),
        ("POST", "/tokens/expire"): lambda: _expire_tokens(sandbox),
        ("POST", "/limits"): lambda: _limits(sandbox),
        ("POST", "/apps/callback"): lambda: _callback_url(sandbox),
        ("POST", "/reset"): lambda: _reset(sandbox),
        ("POST", "/api_writes"): lambda: _api_writes(sandbox),
        ("POST", "/snapshot"): lambda: _snapshot(sandbox),
    }


def _overview(sandbox: Sandbox) -> Json:
    world = sandbox.world
    with world.lock:
        return {
            "corp_id": world.config.corp_id,
            "now": world.clock.now(),
            "apps": [
                {"name": app.config.name, "agentid": app.config.agentid, "callback_url": app.callback_url}
                for app in world.apps.values()
            ],
            "members": len(world.members),
            "customers": len(world.customers) + (world.bulk.computed() if world.bulk else 0),
            "groups": len(world.groups),
            "tags": len(world.tags),
            "contact_ways": len(world.contact_ways),
            "mass_sends": len(world.mass_sends),
            "callbacks_waiting": sandbox.sender.waiting(),
            "limits": world.limits.as_json(),
        }


def _population(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    values: Json = {}
    per_member = body.whole("customers_per_member", None)
    for item in fields(Plan):
        if isinstance(item.default, float):
            values[item.name] = body.number(item.name, item.default)
        else:
            values[item.name] = body.whole(item.name, item.default)
    body.done()
    if per_member is not None:
        values["customers"] = per_member * values["members"]
    with sandbox.world.lock:
        return populate(sandbox.world, Plan(**values))


def _clock(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    skew = body.signed("skew_seconds", None)
    seconds = body.number("advance_seconds") if skew is None else body.number("advance_seconds", 0.0)
    body.done()
    clock = sandbox.world.clock
    with sandbox.world.lock:
        if skew is not None:
            clock.skew = skew
        clock.advance(seconds)
        sandbox.scheduler.clock_moved()
        return {"now": clock.now(), "skew_seconds": clock.skew}


def _log(sandbox: Sandbox) -> Json:
    entries, last = sandbox.log.find(
        request.args.get("api"),
        _number("since", 0),
        min(_number("limit", LOG_DEFAULT), LOG_MAX),
        request.args.get("all") == "1",
    )
    return {"calls": [item.as_json() for item in entries], "last_seq": last}


def _callbacks(sandbox: Sandbox) -> Json:
    wanted = {
        key: request.args[key] for key in ("event", "change_type", "app", "status") if key in request.args
    }
    since, limit = _number("since", 0), min(_number("limit", LOG_DEFAULT), LOG_MAX)
    with sandbox.world.lock:
        records = list(sandbox.outbox.records.values())
    found: list[Json] = []
    for item in records:
        if item.id > since and _matches(item, wanted):
            found.append(item.as_json())
            if len(found) >= limit:
                break
    return {"callbacks": found, "waiting": sandbox.sender.waiting()}


def _matches(item: Any, wanted: dict[str, str]) -> bool:
    return all(
        (item.app.name if key == "app" else getattr(item, key)) == text for key, text in wanted.items()
    )


def _wait(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    seconds = body.number("seconds", 10.0)
    body.done()
    return {"idle": sandbox.sender.wait_idle(seconds)}


def _resend(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    ids = body.wholes("ids")
    body.done()
    with sandbox.world.lock:
        found = [sandbox.outbox.records.get(item) for item in ids]
    for item, record in zip(ids, found, strict=True):
        if record is None:
            raise ControlError(f"there is no callback {item}", 404)
    for record in found:
        if record is not None:
            sandbox.sender.submit(record)
    return {"resent": ids}


def _fault(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    kind = body.choice("kind", (*API_KINDS, *CALLBACK_KINDS))
    span = body.number("span", None)
    times = body.whole("times", None) if body.has("times") else (1 if span is None else None)
    rng = random.Random(body.whole("seed", sandbox.world.config.seed))
    probability = body.number("probability", 1.0)
    if kind in CALLBACK_KINDS:
        if span is not None:
            raise ControlError("span is for faults of API calls")
        _callback_fault(sandbox, body, CallbackFault(kind, times=times, probability=probability, rng=rng))
    else:
        until = None if span is None else sandbox.world.clock.now() + span
        fault = ApiFault(kind, times=times, probability=probability, rng=rng, until=until)
        _api_fault(sandbox, body, fault)
    return _faults(sandbox)


def _callback_fault(sandbox: Sandbox, body: Body, fault: CallbackFault) -> None:
    fault.pattern = body.string("event", "*")
    fault.seconds = body.number("seconds", fault.seconds)
    fault.copies = body.whole("copies", fault.copies, 2)
    fault.window = body.whole("window", fault.window, 2)
    body.done()
    sandbox.callback_faults.add(fault)


def _api_fault(sandbox: Sandbox, body: Body, fault: ApiFault) -> None:
    fault.pattern = body.string("api", "*")
    fault.app = body.string("app", None)
    fault.seconds = body.number("seconds", 1.0 if fault.kind == "latency" else fault.seconds)
    fault.errcode = body.errcode("errcode", -1)
    body.done()
    sandbox.api_faults.add(fault)


def _faults(sandbox: Sandbox) -> Json:
    return {"api": sandbox.api_faults.listing(), "callbacks": sandbox.callback_faults.listing()}


def _clear_faults(sandbox: Sandbox) -> Json:
    sandbox.api_faults.clear()
    for delivery in sandbox.callback_faults.clear():
        sandbox.sender.submit(delivery)
    return _faults(sandbox)


def _expire_tokens(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    name = body.string("app", None)
    body.done()
    world = sandbox.world
    with world.lock:
        chosen = [world.app(name)] if name else list(world.apps.values())
        expired = [app for app in chosen if app.token is not None]
        for app in expired:
            world.tokens[app.token or ""] = (app, world.clock.now())
            app.expires, app.token = 0.0, None
    return {"expired": [app.config.name for app in expired]}


def _limits(sandbox: Sandbox) -> Json:
    raw = request.get_json(force=True, silent=True)
    if not isinstance(raw, dict):
        raise ControlError("the body must be a JSON object")
    try:
        sandbox.world.limits = sandbox.world.limits.changed(raw)
    except ValueError as error:
        raise ControlError(str(error)) from error
    return sandbox.world.limits.as_json()


def _callback_url(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    name, url = body.string("app", "main"), body.string("url", None)
    verify = body.flag("verify", default=True)
    body.done()
    app = sandbox.world.app(name)
    if url is not None and verify:
        verify_callback(app.config, sandbox.world.config.corp_id, url)
    app.callback_url = url
    return {"app": name, "callback_url": url}


def _api_writes(sandbox: Sandbox) -> Json:
    """Whether changes asked through the API call back too (§11: sources disagree)."""
    body = Body.of_request()
    told = body.flag("callbacks", default=True)
    body.done()
    world = sandbox.world
    with world.lock:
        world.config = replace(world.config, callbacks_for_api_writes=told)
    return {"callbacks": told}


def _reset(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    seed = body.whole("seed", None)
    body.done()
    reset(sandbox, seed)
    return _overview(sandbox)


def _snapshot(sandbox: Sandbox) -> Json:
    if sandbox.state_file is None:
        raise ControlError("the sandbox was started without --state-file", 409)
    return {"path": str(sandbox.state_file), "bytes": save(sandbox, sandbox.state_file)}


def _number(name: str, default: int) -> int:
    value = request.args.get(name, "")
    if value and not value.isdigit():
        raise ControlError(f"{name} must be a whole number")
    return int(value) if value else default

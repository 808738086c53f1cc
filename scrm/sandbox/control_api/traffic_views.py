"""Control calls for streams of traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrm.sandbox.callbacks import traffic
from scrm.sandbox.callbacks.traffic import TrafficRun
from scrm.sandbox.control_api.fields import Body
from scrm.sandbox.errors import ControlError
from scrm.sandbox.people.mix import DEFAULT_MIX, Mixture

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrm.sandbox.runtime import Sandbox

Json = dict[str, Any]
MAX_CALLBACKS = 1_000_000
MAX_CONNECTIONS = 32
DEFAULT_CONNECTIONS = 4


def routes(sandbox: Sandbox) -> dict[tuple[str, str], Callable[..., Json]]:
    """Method and path to view."""
    return {
        ("POST", "/traffic"): lambda: _start(sandbox),
        ("GET", "/traffic/<int:run_id>"): lambda run_id: _find(sandbox, run_id).as_json(),
        ("DELETE", "/traffic/<int:run_id>"): lambda run_id: _stop(sandbox, run_id),
    }


def _start(sandbox: Sandbox) -> Json:
    body = Body.of_request()
    mix = body.record("mix", DEFAULT_MIX)
    rate, seconds, count = body.number("rate", 0), body.number("seconds", None), body.whole("count", None, 1)
    prepare = body.flag("prepare", default=False)
    connections = body.whole("connections", DEFAULT_CONNECTIONS, 1)
    body.done()
    total = _total(rate, seconds, count)
    if connections > MAX_CONNECTIONS:
        raise ControlError(f"connections must be at most {MAX_CONNECTIONS}")
    if not all(isinstance(item, (int, float)) and item >= 0 for item in mix.values()):
        raise ControlError("mix must map kinds to weights")
    if not rate and not prepare:
        raise ControlError("without prepare a rate above 0 is needed")
    with sandbox.world.lock:
        if not any(app.callback_url for app in sandbox.world.apps.values()):
            raise ControlError("no app has a callback address", 409)
        mixture = Mixture(sandbox, mix)
        run = TrafficRun(len(sandbox.traffic) + 1, total, rate, connections)
        sandbox.traffic[run.id] = run
    traffic.start(sandbox, run, mixture.act, prepare)
    return run.as_json()


def _total(rate: float, seconds: float | None, count: int | None) -> int:
    if count is None:
        if not rate or seconds is None:
            raise ControlError("give count, or rate and seconds")
        count = int(rate * seconds)
    if not 1 <= count <= MAX_CALLBACKS:
        raise ControlError(f"the stream must be 1 to {MAX_CALLBACKS} callbacks long")
    return count


def _find(sandbox: Sandbox, run_id: int) -> TrafficRun:
    found = sandbox.traffic.get(run_id)
    if found is None:
        raise ControlError(f"there is no traffic run {run_id}", 404)
    return found


def _stop(sandbox: Sandbox, run_id: int) -> Json:
    run = _find(sandbox, run_id)
    run.stopped = True
    return run.as_json()

"""Streams of traffic, and the truth for assertions."""

from __future__ import annotations

import time
from typing import Any

from scrm.sandbox.controls.transport import ControlClient, Json


class TruthControl(ControlClient):
    """Streams of traffic, and what the simulated corp really holds."""

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

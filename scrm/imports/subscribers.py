"""What imports do when something happened."""

from __future__ import annotations

from collections.abc import Sequence

from scrm.imports import jobs
from scrm.imports.events import ImportWanted
from scrm.kernel.events import subscribe


@subscribe(ImportWanted)
def work_soon(events: Sequence[ImportWanted]) -> None:
    """Somebody uploaded, or wants the next step."""
    jobs.work_on_imports.wake()

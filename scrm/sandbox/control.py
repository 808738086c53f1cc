"""A typed client of the control API, for tests, `scrm demo` and scripts; one file per area in `controls/`."""

from __future__ import annotations

from scrm.sandbox.controls.bulk import BulkControl
from scrm.sandbox.controls.console import ConsoleControl
from scrm.sandbox.controls.corp import CorpControl
from scrm.sandbox.controls.groups import GroupControl
from scrm.sandbox.controls.links import LinkControl
from scrm.sandbox.controls.people import PeopleControl
from scrm.sandbox.controls.service import ServiceControl
from scrm.sandbox.controls.staff import StaffControl
from scrm.sandbox.controls.transfers import TransferControl
from scrm.sandbox.controls.transport import ControlClient, SandboxControlError
from scrm.sandbox.controls.truth import TruthControl

__all__ = ["ControlClient", "SandboxControl", "SandboxControlError"]


class SandboxControl(
    CorpControl,
    PeopleControl,
    GroupControl,
    ServiceControl,
    TransferControl,
    LinkControl,
    BulkControl,
    StaffControl,
    ConsoleControl,
    TruthControl,
):
    """Everything a test, a demo or a script does to the simulated corp."""

"""Events WeCom sends that this system has no use for (wecom-api.md section 3.7): ignored, and the inbox says why.

Unlike an event nobody knows, these are no reason to look for a newer version.
"""

from __future__ import annotations

from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Batch, Reasons, handles, ignoring

EVENTS = ("open_approval_change", "sys_approval_change", "share_agent_change", "switch_workbench_mode")


def not_used(batch: Batch) -> Reasons:
    """Nothing is done."""
    return ignoring(batch, [], Ignored.NOT_USED)


for _event in EVENTS:
    handles(_event)(not_used)

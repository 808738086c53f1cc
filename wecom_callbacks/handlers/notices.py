"""WeCom says that there is something to fetch: archived conversations, results of jobs (wecom-api.md section 3.5, 3.7).

The newest notice of each app (and job) is kept for whoever fetches: ``wecom_callbacks.queries.notices``.
"""

from __future__ import annotations

from typing import Any

from scrm.staff.service import want_staff_list
from wecom_callbacks.reasons import Ignored
from wecom_callbacks.registry import Batch, Callback, Reasons, handles, ignoring, named, text
from wecom_callbacks.service import Notice, note

MEMBER_JOBS = {"sync_user", "replace_user", "replace_party"}  # imports that changed members or departments
SUCCESS = "0"


@handles("msgaudit_notify")
def archive_grew(batch: Batch) -> None:
    """New conversations lie in the archive; WeCom says so at most once in 15 seconds."""
    note([Notice(one.event, one.app, one.event_at) for one in batch])


@handles("upload_media_job_finish")
def upload_finished(batch: Batch) -> Reasons:
    """A media upload from an address is done; its result waits under the job's id."""
    told, ignored = named(batch, "JobId")
    note([Notice(one.event, one.app, one.event_at, one.fields["JobId"]) for one in told])
    return ignored


@handles("batch_job_result")
def import_finished(batch: Batch) -> Reasons:
    """An import or export of the address book is done; one that changed members has the whole list read again."""
    told = [one for one in batch if text(_job(one).get("JobId"))]
    note([Notice(one.event, one.app, one.event_at, _job(one)["JobId"], _job(one)) for one in told])
    if any(_job(one).get("JobType") in MEMBER_JOBS and _job(one).get("ErrCode") == SUCCESS for one in told):
        want_staff_list()
    return ignoring(batch, told, Ignored.INCOMPLETE)


def _job(callback: Callback) -> dict[str, Any]:
    found = callback.fields.get("BatchJob")
    return found if isinstance(found, dict) else {}

"""The committer's thread: what ends it does not end the intake."""

import threading

import pytest
from sqlalchemy import func, select

from scrm.kernel.clock import utcnow
from wecom_callbacks.committer import Committer, NewRow
from wecom_callbacks.models import InboxRow
from wecom_callbacks.views.callbacks import _conninfo

PATIENCE = 2.0  # seconds


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_by_an_error_is_replaced(app, committed):
    trouble = [RuntimeError("can't start new thread")]

    def noted(lanes):
        if trouble:
            raise trouble.pop()

    committer = Committer(_conninfo(app), PATIENCE, noted)
    for number in range(3):
        committer.store(NewRow(bytes([number]), "main", "events", "<xml/>", utcnow()))
        if number == 0:
            committer._thread.join(60)
            threading.Event().wait(PATIENCE * 0.75)  # longer than it tries a store that is away
    committer.close()
    assert committed.scalar(select(func.count()).select_from(InboxRow)) == 3

"""Keeping orders and products together."""

from __future__ import annotations

from config.queues import Queue
from scrm.commerce.service.products import link_all_lines
from scrm.kernel.db import transaction
from scrm.kernel.jobs import job


@job(Queue.BACKGROUND)
def link_lines() -> None:
    """Find the products of lines that have none yet."""
    with transaction():
        link_all_lines()

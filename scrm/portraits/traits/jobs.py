"""What workers do for traits."""

from __future__ import annotations

import time

from sqlalchemy import select

from config.queues import Queue
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job, others_wait
from scrm.kernel.turns import keep_place, place_of
from scrm.portraits.models import Trait
from scrm.portraits.traits.service import computing

RUN_SECONDS = 20.0
BATCH = 5_000
STREAM = 500  # so many at once come of batches that follow each other:
LINGER_SECONDS = 0.1  # wait a moment for the next ones, more persons at once cost less each


@job(Queue.BACKGROUND, due=computing.wanted)
def compute_wanted() -> None:
    """Work out traits of persons whose events or orders changed."""
    until = time.monotonic() + RUN_SECONDS
    while True:
        with transaction():
            taken = computing.compute_wanted(BATCH)
        if taken < STREAM:
            return
        if taken < BATCH:
            time.sleep(LINGER_SECONDS)
        if time.monotonic() > until or others_wait(Queue.BACKGROUND):
            compute_wanted.wake()
            return


@job(Queue.BACKGROUND, due=lambda: bool(computing.unapplied()))
def apply_definitions() -> None:
    """Work out new and changed traits."""
    for trait_id in computing.unapplied():
        with transaction():
            computing.compute_for_everybody(trait_id)


@job(Queue.BACKGROUND)
def compute_everything() -> None:
    """A day has passed: windows moved on."""
    until = time.monotonic() + RUN_SECONDS
    behind = select(Trait.id).where(Trait.id > place_of(compute_everything)).order_by(Trait.id)
    for trait_id in session().scalars(behind).all():
        with transaction():
            computing.compute_for_everybody(trait_id)
            keep_place(compute_everything, trait_id)
        if time.monotonic() > until:
            compute_everything.wake()
            return
    with transaction():
        keep_place(compute_everything, 0)

"""What workers do for people."""

from __future__ import annotations

import time

import structlog

from config.queues import Queue
from scrm.kernel.db import session, transaction
from scrm.kernel.jobs import job, others_wait
from scrm.people.queries import work
from scrm.people.service.choosing import choose_next
from scrm.people.service.cleaning import work_on
from scrm.people.service.linking import link_customers
from scrm.people.service.matching import merge_wanted
from scrm.people.service.quality import measure
from scrm.people.service.suggesting import BEFORE_ALL, make_keys, suggest

log = structlog.get_logger(__name__)
RUN_SECONDS = 20.0
MERGES = 200  # pairs of one transaction
CUSTOMERS = 1_000  # linked in one transaction
PEOPLE = 2_000  # whose values are looked at in one transaction
KEYS = 500  # whose persons are compared in one transaction


@job(Queue.EVENTS, due=work.merging_due)
def merge_matched() -> None:
    """Merge persons whom one record named and nothing speaks against."""
    until = time.monotonic() + RUN_SECONDS
    while True:
        with transaction():
            looked_at = merge_wanted(MERGES)
        if not looked_at:
            return
        if time.monotonic() > until or others_wait(Queue.EVENTS):
            merge_matched.wake()
            return


@job(Queue.BACKGROUND, due=work.linking_due)
def link_unlinked() -> None:
    """Give customers their persons who have none: those from before there were persons.

    Who is linked is not looked at again, so the job may run twice or be killed anywhere.
    """
    until, after, linked = time.monotonic() + RUN_SECONDS, 0, 0
    while ids := work.unlinked_customers(after, CUSTOMERS):
        session().rollback()
        with transaction():
            linked += link_customers(ids)
        after = ids[-1]
        if time.monotonic() > until:
            link_unlinked.wake()
            break
    log.info("customers linked to people", linked=linked)


@job(Queue.BACKGROUND, due=work.choosing_due)
def choose_values() -> None:
    """Work out which value of a field stands by its new rule, for everybody."""
    until = time.monotonic() + RUN_SECONDS
    while True:
        with transaction():
            worked = choose_next(PEOPLE)
        if not worked:
            return
        if time.monotonic() > until:
            choose_values.wake()
            return


@job(Queue.BACKGROUND)
def suggest_duplicates() -> None:
    """Begin to look for persons who are likely one, once a night."""
    with transaction():
        make_keys()
        compare_alike.wake()


@job(Queue.BACKGROUND, due=work.comparing_due)
def compare_alike() -> None:
    """Compare persons who have something in common; what is left of the night's keys says how far it is."""
    until, last = time.monotonic() + RUN_SECONDS, BEFORE_ALL
    while True:
        with transaction():
            done = suggest(last, KEYS)
        if done is None:
            return
        last = done
        if time.monotonic() > until:
            compare_alike.wake()
            return


@job(Queue.BACKGROUND, due=work.cleaning_due)
def clean_values() -> None:
    """Carry the open cleaning run on."""
    until = time.monotonic() + RUN_SECONDS
    while True:
        with transaction():
            worked = work_on(PEOPLE)
        if not worked:
            return
        if time.monotonic() > until:
            clean_values.wake()
            return


@job(Queue.BACKGROUND)
def measure_quality() -> None:
    """The report of the night."""
    with transaction():
        measure()

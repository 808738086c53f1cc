"""Do our clocks agree with WeCom's and the database's? Welcome codes live 20 seconds, callbacks carry their time."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import requests
from sqlalchemy import text

from config.settings import Settings
from scrm.cli.doctor.finding import Finding
from scrm.kernel.db import session

WECOM_SECONDS = 10.0  # half of a welcome code's life; the Date header is in whole seconds
DATABASE_SECONDS = 2.0  # rows carry times of both clocks
SYNC_IT = "set the clock of this machine by NTP"
PROBE = "cgi-bin/getcallbackip"  # answers 41001 without a token, and with a Date


def clock_of_database() -> Finding:
    """The database's clock is ours."""
    before = time.time()
    there = float(session().scalar(text("SELECT extract(epoch FROM clock_timestamp())::float")) or 0)
    return _compared("clock of PostgreSQL", there, before, DATABASE_SECONDS)


def clock_of_wecom(settings: Settings) -> Finding:
    """WeCom's clock is ours, as far as the Date of its answers tells."""
    check = "clock of WeCom"
    before = time.time()
    try:
        answer = requests.get(
            f"{settings.wecom.base_url.rstrip('/')}/{PROBE}",
            timeout=settings.wecom.connect_timeout_seconds,
            allow_redirects=False,
        )
        there = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except requests.RequestException as error:
        way_out = "look whether wecom.base_url can be reached from here"
        return Finding(check, False, f"WeCom does not answer ({type(error).__name__})", way_out)
    except (KeyError, ValueError):
        return Finding(check, True, "WeCom's answers carry no date")
    return _compared(check, there, before, WECOM_SECONDS)


def _compared(check: str, there: float, before: float, most: float) -> Finding:
    after = time.time()
    apart = max(0.0, before - there - 1, there - after)  # a Date is cut to the second
    if apart > most:
        way = "behind" if there > after else "ahead"
        return Finding(check, False, f"ours is {apart:.0f} s {way}", SYNC_IT)
    return Finding(check, True, "agrees with ours")

"""Prometheus metrics counted inside processes; what the database knows is read when ``/metrics`` is asked."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

ACK_SECONDS = Histogram(
    "scrm_callback_ack_seconds", "Receipt of a callback to its durable answer", ["app"], buckets=SECONDS
)
CALLBACKS_REFUSED = Counter("scrm_callbacks_refused", "Callbacks answered with 4xx or 5xx", ["app", "reason"])
JOB_SECONDS = Histogram("scrm_job_seconds", "Run time of jobs", ["job", "outcome"], buckets=SECONDS)
WAKE_LOST = Counter("scrm_wake_lost", "Wake-ups that Redis did not take; the clock wakes again")
GOVERNOR_WAIT_SECONDS = Histogram(
    "scrm_governor_wait_seconds", "Time a WeCom call waited for its turn", ["api"], buckets=SECONDS
)
GOVERNOR_DEFERRED = Counter("scrm_governor_deferred", "WeCom calls put off instead of failing", ["api"])
CIRCUIT_OPENED = Counter("scrm_circuit_opened", "Times an API was left alone for silence", ["api"])
WECOM_CALLS = Counter("scrm_wecom_calls", "Calls of WeCom by answer", ["api", "errcode"])
WECOM_SECONDS = Histogram("scrm_wecom_seconds", "Duration of calls of WeCom", ["api"], buckets=SECONDS)
TOKEN_FETCHES = Counter("scrm_token_fetches", "Access tokens fetched", ["app"])
SETS_USED = Counter("scrm_sets_used", "Sets of customers that questions needed", ["how"])
SETS_ASK_SECONDS = Histogram(
    "scrm_sets_ask_seconds", "Time PostgreSQL took for the sets that a question lacked", buckets=SECONDS
)
SETS_CHECKED = Counter("scrm_sets_checked", "Sets compared with PostgreSQL")
SETS_DRIFT = Counter("scrm_sets_drift", "Customers that were wrong in compared sets, and mended")
COLUMNS_ASKED = Counter(
    "scrm_columns_asked", "Leaves about everybody that the copy in columns could answer, or not", ["answered"]
)
COLUMNS_BUILD_SECONDS = Counter("scrm_columns_build_seconds", "Time spent on writing the copy in columns")
COLUMNS_DRIFT = Counter("scrm_columns_drift", "Parts of the copy in columns that differed from PostgreSQL")

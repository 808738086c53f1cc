"""Several calls of WeCom at once, in the process's thread pool."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from scrm.kernel.settings import settings
from scrm.wecom.errors import WecomError

T = TypeVar("T")
_pools: dict[int, ThreadPoolExecutor] = {}


def pool() -> ThreadPoolExecutor:
    """This process's threads for calls of WeCom, ``wecom.concurrency`` of them; needs an app context."""
    size = settings().wecom.concurrency
    if size not in _pools:
        _pools[size] = ThreadPoolExecutor(size, thread_name_prefix="wecom")
    return _pools[size]


def submit(call: Callable[[], T]) -> Future[T]:
    """Start one call in the pool; its log lines keep this job's ids."""
    return pool().submit(contextvars.copy_context().run, call)


def run_parallel(calls: Sequence[Callable[[], T]]) -> list[T | WecomError]:
    """Run the calls at once; results in order, a failed call's place holds its WecomError.

    Make the client before (``wecom()`` needs the app context) and let the calls only call: no database inside. Any
    other exception is raised here after all calls have ended.
    """
    if len(calls) == 1:
        return [_outcome(calls[0])]
    futures = [submit(partial(_outcome, call)) for call in calls]
    for future in futures:
        future.exception()
    return [future.result() for future in futures]


def _outcome(call: Callable[[], T]) -> T | WecomError:
    try:
        return call()
    except WecomError as error:
        return error


os.register_at_fork(after_in_child=_pools.clear)  # a forked worker has none of its parent's threads

"""Structured logs: one JSON object a line, with the ids of the request, inbox row, job and effect at work."""

from __future__ import annotations

import logging
import re
import sys

import structlog

from config.settings import Log

# PostgreSQL repeats the values of the offending row behind DETAIL; it ends where the traceback goes on.
ROW_VALUES = re.compile(
    r"^DETAIL:.*?(?=^(?:HINT|CONTEXT):|^\[SQL|^\(Background|^Traceback|^  File |^The above|^During|\Z)",
    re.MULTILINE | re.DOTALL,
)


def without_row_values(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Cut what customers are called and say out of database errors, ours and those that RQ writes as text."""
    for key in ("exception", "event"):
        if isinstance(told := line.get(key), str) and "DETAIL:" in told:
            line[key] = ROW_VALUES.sub("", told)
    return line


def configure_logging(log: Log, process: str) -> None:
    """Send every log line, ours and the libraries', through structlog to stderr.

    :param log: level and format (``json`` for machines, ``text`` for a terminal)
    :param process: name of this process (``web``, ``worker:urgent``, ...), on every line
    """

    def name_process(
        _logger: object, _method: str, line: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        line["process"] = process  # not a context variable: the server's request threads inherit none
        return line

    shared: list[structlog.typing.Processor] = [
        name_process,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    last = structlog.processors.JSONRenderer() if log.format == "json" else structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                without_row_values,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(log.level)
    for noisy in ("urllib3", "rq.worker", "wechatpy", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

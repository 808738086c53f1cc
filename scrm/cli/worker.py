"""`scrm worker QUEUE`: a worker for exactly one queue (docs/adr/0003-one-queue-per-worker.md)."""

from __future__ import annotations

import click

from config.queues import Queue


@click.command()
@click.argument("queue", type=click.Choice([queue.value for queue in Queue]))
def worker(queue: str) -> None:
    """Run jobs of QUEUE until SIGTERM or Ctrl-C; the running job is finished first.

    Start as many as you like, on as many machines as you like.

    \b
    Example: scrm worker urgent
    """
    from scrm.cli.application import application

    app = application(f"worker:{queue}")
    from scrm.cli.serving.worker import work
    from scrm.kernel import jobs

    jobs.bind(app)
    work(app, Queue(queue))

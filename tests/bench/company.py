"""The company that benchmarks ask about: made once by ``scrm generate``, kept, and brought up to date in place.

It lies in ``var/bench-data``, or where ``BENCH_DATA`` says, one folder for each size, seed and revision of the
generator: ``pg`` is the database, and others put beside it what they make of the same rows. ``make clean`` removes it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from scrm.cli.company_data.size import REVISION
from scrm.cli.stores import Postgres, Valkey, running

VARIABLE = "BENCH_DATA"
UNTIL = date(2026, 11, 21)  # the same data whenever it is made
SEED = 1
SCRM = str(Path(sys.executable).with_name("scrm"))


@dataclass(frozen=True)
class Company:
    """How much there is, and where it is kept."""

    customers: int
    events: int
    orders: int

    @property
    def folder(self) -> Path:
        """Its folder."""
        home = Path(os.environ.get(VARIABLE) or "var/bench-data").resolve()
        return home / f"{self.customers}-{self.events}-{self.orders}-{SEED}-r{REVISION}"

    @property
    def postgres(self) -> Postgres:
        """Its database; what it loses in a power cut can be made again."""
        return Postgres(self.folder / "pg", durable=False, shared_buffers="1GB")

    @property
    def made(self) -> Path:
        """The file that is there once everything is."""
        return self.folder / "made.json"


FULL = Company(1_000_000, 20_000_000, 3_000_000)
QUICK = Company(5_000, 100_000, 15_000)


def ensure(company: Company) -> None:
    """Make the company if it is not there yet (several minutes for a million customers), and its schema up to date.

    :raises SystemExit: its schema cannot be brought up to date; says what to do
    """
    if not company.made.exists():
        shutil.rmtree(company.folder, ignore_errors=True)
        company.folder.mkdir(parents=True)
        started = time.monotonic()
        with _stores(company) as environment:
            _scrm(environment, "migrate")
            _scrm(environment, "generate", *_amounts(company))
        told = {"seconds": round(time.monotonic() - started), "until": str(UNTIL)}
        company.made.write_text(json.dumps(told))
    with _stores(company) as environment:
        _scrm(environment, "migrate")
        _check(environment, company)


def _amounts(company: Company) -> list[str]:
    amounts = {"customers": company.customers, "events": company.events, "orders": company.orders}
    told = [part for name, amount in amounts.items() for part in (f"--{name}", str(amount))]
    return [*told, "--seed", str(SEED), "--until", str(UNTIL), "--no-timeline"]


@contextmanager
def _stores(company: Company) -> Iterator[dict[str, str]]:
    """Both stores for the length of a block; gives the environment that leads there."""
    valkey = Valkey(company.folder / "valkey", durable=False)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SCRM_")}
    with running(company.postgres, valkey):
        yield {
            **clean,
            "SCRM_DATABASE_URL": company.postgres.url,
            "SCRM_REDIS_URL": valkey.url,
            "SCRM_VAR_DIR": str(company.folder),
        }


def _scrm(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([SCRM, *arguments], env=environment, stdout=sys.stderr, check=True)


def _check(environment: dict[str, str], company: Company) -> None:
    """Data made by another state of a migration that was still being written does not become right by migrating."""
    command = [sys.executable, "-m", "tests.bench.company"]
    found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    if found.strip():
        raise SystemExit(
            f"bench: the kept data in {company.folder} has another schema than the program: {found.strip()}; "
            "bring it to that by hand, or remove the folder and it is made again"
        )


def main() -> None:
    """Print how the schema of the database differs from the program's; nothing when it does not."""
    from scrm.cli.application import application
    from scrm.kernel.schema import schema_differences

    with application("bench").app_context():
        for difference in schema_differences():
            print(difference)


if __name__ == "__main__":
    main()

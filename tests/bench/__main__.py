"""``make bench``: measurements with a baseline in the same run; prints one JSON line each and writes them to a file."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

NAMES = (
    "intake",
    "drain",
    "welcome",
    "plan",
    "portrait",
    "priority",
    "sync",
    "ingest",
    "rules",
    "value",
    "timeline",
    "conditions",
    "sets",
    "columns",
    "webhooks",
    "imports",
)
KEYS = ("name", "value", "unit", "baseline", "ratio", "target", "pass")


def main() -> int:
    """Run the named benchmark, or all; exit 1 when one misses its target."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=NAMES, help="run one")
    parser.add_argument(
        "--quick", action="store_true", help="small amounts: tries the benchmark, measures nothing"
    )
    parser.add_argument(
        "--rows", type=int, help="how many rows, for those that can take more than they do alone"
    )
    parser.add_argument("--out", type=Path, default=Path("var/bench.json"), help="file that gets all results")
    options = parser.parse_args()
    results = []
    asked = {"quick": options.quick, "rows": options.rows}
    for name in [options.only] if options.only else NAMES:
        for result in importlib.import_module(f"tests.bench.{name}").run(asked):
            if missing := [key for key in KEYS if key not in result]:
                raise SystemExit(f"bench {name}: the result lacks {', '.join(missing)}")
            print(json.dumps(result, ensure_ascii=False), flush=True)
            results.append(result)
    write(options.out, results)
    return 0 if all(result["pass"] for result in results) else 1


def write(out: Path, results: list[dict[str, object]]) -> None:
    """Keep the results with what they were measured on."""
    out.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "at": datetime.now(UTC).isoformat(),
    }
    out.write_text(json.dumps({"on": machine, "results": results}, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    sys.exit(main())

"""What processes that answer no HTTP leave out is needed by nobody there."""

import json
import subprocess
import sys

ALONE = """
import json, sys
from scrm.bootstrap import ROLES_WITHOUT_HTTP, load_packages
from scrm.kernel.db import Base

def size(held):
    return {str(k): len(v) if isinstance(v, dict | list | set) else 1 for k, v in held.items()} if isinstance(
        held, dict) else len(held)

def registers():
    return {
        f"{name}.{key}": size(held)
        for name in ours for key, held in vars(sys.modules[name]).items()
        if isinstance(held, dict | list | set) and not key.startswith("__")
    }

load_packages(ROLES_WITHOUT_HTTP)
ours = [name for name in sys.modules if name.split(".")[0] in ("scrm", "tags", "wecom_callbacks", "config")]
views = [name for name in ours if name.endswith(".views")]
before, tables = registers(), set(Base.metadata.tables)
load_packages()
after = registers()
print(json.dumps({
    "views": views, "tables": sorted(set(Base.metadata.tables) - tables), "registers": len(before),
    "grown": [name for name in before if before[name] != after[name]],
}))
"""
FOR_ANSWERS_ONLY = ["scrm.portraits.queries._sections"]  # parts of the portrait, which only views show


def test_views_bring_no_table_job_subscriber_condition_or_kind_that_workers_would_miss():
    told = subprocess.run([sys.executable, "-c", ALONE], check=True, capture_output=True, text=True).stdout
    found = json.loads(told)
    assert (found["views"], found["tables"], found["grown"]) == ([], [], FOR_ANSWERS_ONLY)
    assert found["registers"] > 200

"""kill -9 of a worker during a run and during an undo: every row once, and everything given back."""

from __future__ import annotations

import pytest

from scrm.imports.jobs import work_on_imports
from scrm.imports.models import Import
from scrm.imports.service import states, suggesting, uploading
from scrm.imports.service.targets.registry import target_of
from scrm.kernel.db import session, transaction
from scrm.kernel.permissions import Actor, Permission, Scope
from tests import nursery
from tests.scrm.imports.conftest import csv_file
from tests.scrm.wecom.conftest import process_env, process_environment  # noqa: F401  # fixtures

RUN = """
from config.settings import load_settings
from scrm.bootstrap import create_app
app = create_app(load_settings())
with app.app_context():
    from scrm.imports.jobs import work_on_imports
    work_on_imports.func()
"""
ACTOR = Actor("test", frozenset(Permission), Scope.all())
PEOPLE = 120


@pytest.fixture
def tried(committed, monkeypatch):
    """An import of three chunks whose dry run is over."""
    monkeypatch.setattr(uploading, "CHUNK_ROWS", 40)
    file = csv_file(["手机", "姓名"], [[f"139{n:08}", f"n{n}"] for n in range(1, PEOPLE + 1)])
    with transaction():
        id_ = uploading.keep_upload(uploading.Upload("people", "people.csv", file), "test").id
    work_on_imports.func()
    with transaction():
        made = states.locked_import(id_, ACTOR)
        columns = suggesting.suggest(target_of("people"), made.columns, {})
        states.set_mapping(made, {"source": "crm", "columns": columns}, ACTOR)
        states.start_trial(made)
    work_on_imports.func()
    return id_


def shown(id_):
    with transaction():
        return session().get(Import, id_, populate_existing=True)


def counted(rows):
    found = rows("SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM person_values)")
    session().rollback()
    return found[0]


@pytest.mark.fault
def test_a_killed_import_goes_on_where_it_was_and_is_undone_through_a_kill(tried, process_env, rows):  # noqa: F811
    assert shown(tried).tally == {"new": PEOPLE}
    with transaction():
        states.start_run(states.locked_import(tried, ACTOR), None)
    killed = nursery.run(["-c", RUN], {**process_env, "SCRM_CRASH_AT": "import_chunk"})
    assert killed.returncode == -9  # before the commit of the first chunk
    assert (shown(tried).cursor, counted(rows)) == (0, (0, 0))
    killed = nursery.run(["-c", RUN], {**process_env, "SCRM_CRASH_AT": "import_step_done"})
    assert killed.returncode == -9  # after it
    assert (shown(tried).cursor, counted(rows)) == (1, (40, 40))
    work_on_imports.func()
    assert (shown(tried).state, shown(tried).done, counted(rows)) == (
        "done",
        {"new": PEOPLE},
        (PEOPLE, PEOPLE),
    )
    with transaction():
        states.start_undo(states.locked_import(tried, ACTOR), dry_run=False)
    killed = nursery.run(["-c", RUN], {**process_env, "SCRM_CRASH_AT": "import_step_done"})
    assert killed.returncode == -9
    assert counted(rows) == (80, 80)
    work_on_imports.func()
    assert (shown(tried).state, shown(tried).undo["conflicts"], counted(rows)) == ("undone", 0, (0, 0))

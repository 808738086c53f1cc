"""A deployment with a copy in a folder of its own."""

import pytest

from scrm.kernel.settings import EXTENSION
from tags.columns import jobs
from tags.columns.service.shelf import read_copy


@pytest.fixture
def columns(app, monkeypatch, tmp_path):
    """Give the app other ``[columns]`` settings for the length of the test; the folder is the test's own."""

    def give(**given):
        told = app.extensions[EXTENSION]
        columns = told.columns.model_copy(update=given)
        monkeypatch.setitem(app.extensions, EXTENSION, told.model_copy(update={"columns": columns}))

    give(folder=str(tmp_path / "columns"), least_rows=0, enabled=True)
    yield give
    app.extensions.pop("scrm_columns", None)  # what this process has attached


@pytest.fixture
def build(committed, columns):
    """Commit what the test wrote and bring the copy to the present; gives what is on the list then."""

    def run():
        committed.commit()
        assert jobs.refresh(60)
        return read_copy()

    return run

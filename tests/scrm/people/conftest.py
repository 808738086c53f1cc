"""Persons by their identities."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from scrm.kernel.db import session as current_session
from scrm.kernel.db import transaction
from scrm.kernel.settings import EXTENSION
from scrm.people.service.identity import Identity
from scrm.people.service.resolving import resolve


@pytest.fixture
def found(session):
    """found({"phone": …}, {"unionid": …}) -> person ids of records from a source."""

    def find(*records, source="mall"):
        with transaction():
            return resolve([[Identity(k, v) for k, v in record.items()] for record in records], source)

    return find


@pytest.fixture
def rows(app):
    """rows(sql, **values) -> list of tuples."""

    def ask(sql, **values):
        return [tuple(row) for row in current_session().execute(text(sql), values)]

    return ask


@pytest.fixture
def configure(app, settings):
    """Settings of people for one test: configure(shared_by=1)."""

    def change(**values):
        changed = settings.people.model_copy(update=values)
        app.extensions[EXTENSION] = settings.model_copy(update={"people": changed})

    yield change
    app.extensions[EXTENSION] = settings

"""Imports from a file to the report, worked through in the test's own process."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from scrm.imports.jobs import work_until_rest
from scrm.kernel.db import session as current_session
from scrm.kernel.sheets.writing import write_csv, write_xlsx


def csv_file(header, rows):
    return io.BytesIO(b"".join(write_csv(rows, header)))


def xlsx_file(header, rows):
    file = io.BytesIO()
    write_xlsx(rows, header, file)
    file.seek(0)
    return file


@pytest.fixture
def rows(app):
    """rows(sql, **values) -> list of tuples."""

    def ask(sql, **values):
        return [tuple(row) for row in current_session().execute(text(sql), values)]

    return ask


class Imports:
    """Imports over the API."""

    def __init__(self, client):
        self.client = client

    def post(self, path, body=None, status=(200, 201, 202)):
        answer = self.client.post(f"/api/v1/imports{path}", json=body or {})
        assert answer.status_code in status, answer.json
        return answer.json

    def get(self, path, status=200):
        answer = self.client.get(f"/api/v1/imports{path}")
        assert answer.status_code == status, answer.json
        return answer.json

    def upload(self, target, file, name="file.csv", status=201, **form):
        data = {"target": target, "file": (file, name), **form}
        answer = self.client.post("/api/v1/imports", data=data, content_type="multipart/form-data")
        assert answer.status_code == status, answer.json
        return answer.json

    def map(self, id_, columns=None, source="crm", status=200, **more):
        if columns is None:
            columns = self.get(f"/{id_}/suggestion")["columns"]
        elif isinstance(columns, dict):
            columns = [{"column": name, "to": to} for name, to in columns.items()]
        body = {"source": source, "columns": columns, **more}
        answer = self.client.put(f"/api/v1/imports/{id_}/mapping", json=body)
        assert answer.status_code == status, answer.json
        return answer.json

    def step(self, id_, what, **body):
        """Ask for a step and see it through."""
        self.post(f"/{id_}/{what}", body)
        work_until_rest(id_)
        return self.get(f"/{id_}")

    def tried(self, target, header, given, columns=None, **more):
        """Uploaded, mapped, tried."""
        made = self.upload(target, csv_file(header, given))
        self.map(made["id"], columns, **more)
        return self.step(made["id"], "dry-run")

    def run(self, target, header, given, columns=None, **more):
        """Uploaded, mapped, tried, run."""
        found = self.tried(target, header, given, columns, **more)
        done = self.step(found["id"], "start")
        return SimpleNamespace(id=found["id"], tried=found, done=done)

    def rows(self, id_, status):
        return self.get(f"/{id_}/rows?status={status}")["items"]


@pytest.fixture
def imports(api):
    return Imports(api)

"""What one piece of work raises stays with it; a database that is away is nobody's."""

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from scrm.kernel.apart import Apart, store_away
from scrm.kernel.db import db


def raised(statement: str) -> DBAPIError:
    with db.engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text(statement))
    return caught.value


def test_an_error_of_the_body_is_kept_and_the_next_piece_goes_on() -> None:
    with Apart() as piece:
        raise LookupError("a defect")
    assert isinstance(piece.error, LookupError)
    with Apart() as next_piece:
        pass
    assert next_piece.error is None


def test_the_end_of_the_process_is_no_error_of_a_piece() -> None:
    with pytest.raises(SystemExit), Apart():
        raise SystemExit


@pytest.mark.parametrize("statement", ["SELECT pg_sleep(5)", "SELECT 1 / 0", "SELECT * FROM nowhere"])
def test_a_statement_that_fails_belongs_to_its_piece(committed: object, statement: str) -> None:
    assert not store_away(raised(statement))


def test_a_connection_that_ends_under_way_is_the_store_going_away(committed: object) -> None:
    assert store_away(raised("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_server_that_takes_no_connection_is_away(committed: object) -> None:
    nobody = create_engine(db.engine.url.update_query_dict({"host": "/nonexistent"}))
    with pytest.raises(DBAPIError) as caught:
        nobody.connect()
    assert store_away(caught.value)


def test_a_server_that_starts_up_or_has_no_connection_left_is_away() -> None:
    for kind in (psycopg.errors.CannotConnectNow, psycopg.errors.TooManyConnections):
        assert store_away(
            DBAPIError.instance(None, None, kind(), psycopg.Error) or pytest.fail("not wrapped")
        )

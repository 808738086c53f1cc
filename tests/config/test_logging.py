"""What log lines leave out."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from config.logging import without_row_values

ERROR = """Traceback (most recent call last):
psycopg.errors.UniqueViolation: duplicate key value violates unique constraint "uq"
DETAIL:  Key (name)=(张三
second line) already exists.
{after}"""


@pytest.mark.parametrize("key", ["exception", "event"])
@pytest.mark.parametrize("after", ["", "HINT:  say so\n", "\nThe above exception was the direct cause\n"])
def test_values_of_rows_are_cut_out_of_database_errors(after, key):
    kept = without_row_values(None, "error", {key: ERROR.format(after=after)})[key]
    assert "张三" not in kept
    assert "second line" not in kept
    assert "UniqueViolation" in kept
    assert kept.rstrip().endswith(after.strip() or 'constraint "uq"')


def test_a_real_violation_tells_the_constraint_and_not_the_value(session):
    session.execute(text("INSERT INTO customers (external_userid) VALUES ('wmSECRET')"))
    with pytest.raises(IntegrityError) as caught:
        session.execute(text("INSERT INTO customers (external_userid) VALUES ('wmSECRET')"))
    assert "wmSECRET" in str(caught.value)
    kept = without_row_values(
        None, "error", {"exception": str(caught.value).replace("VALUES ('wmSECRET')", "")}
    )
    assert "wmSECRET" not in kept["exception"]
    assert "uq_customers_external_userid" in kept["exception"]

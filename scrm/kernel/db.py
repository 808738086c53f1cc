"""The database: base class of all tables, the session, and the one way to commit.

Reads run anywhere. Writes run inside :func:`transaction`, which delivers the events published on the way to their
subscribers *in the same transaction*, commits once, and only then wakes jobs. A crash between commit and wake-up
loses nothing: rows carry the state and the clock wakes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from flask_sqlalchemy import SQLAlchemy
from psycopg.pq import Format
from sqlalchemy import ARRAY, BigInteger, DateTime, Engine, Enum, Identity, LargeBinary, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.event import listens_for
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, registry

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every table: times are timestamptz, dicts are JSONB, lists of text are arrays."""

    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={
            datetime: DateTime(timezone=True),
            dict[str, Any]: JSONB,
            list[Any]: JSONB,
            list[str]: ARRAY(Text),
            list[int]: ARRAY(BigInteger),
            str: Text,
            int: BigInteger,
            bytes: LargeBinary,
        },
    )


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})

if TYPE_CHECKING:

    class Model(Base):
        """What tables inherit from."""

        __abstract__ = True

else:
    Model = db.Model

Id = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
UpdatedAt = Annotated[
    datetime, mapped_column(DateTime(timezone=True), server_default=func.now(), onupdate=func.now())
]


def enum_text(kind: type[StrEnum]) -> Enum:
    """Column type that stores a StrEnum's value as text and refuses other values on the way in."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda e: [m.value for m in e],
    )


def session() -> Session:
    """The session of this request or job."""
    return db.session()


IN_BINARY = {"in_binary": True}
"""Execution options of statements that give large ``bytea``: as text each byte takes two, to write, send and read."""


@listens_for(Engine, "before_cursor_execute")
def _choose_format(
    connection: Any, cursor: Any, statement: str, params: Any, context: Any, many: bool
) -> None:
    if context is not None and context.execution_options.get("in_binary"):
        cursor.format = Format.BINARY


@listens_for(Engine, "connect")
def _speak_utc(connection: Any, record: Any) -> None:
    """Times come back in UTC, and days that SQL cuts off them are UTC's, whatever zone the server was set up in."""
    connection.autocommit = True
    connection.execute("SET TIME ZONE 'UTC'")
    connection.autocommit = False


@contextmanager
def transaction() -> Iterator[Session]:
    """One unit of work: run the body, deliver its events, commit, then wake jobs; on error nothing happened.

    Used at the edge only (views, jobs, commands); services never commit. Inside another transaction it joins that one.
    """
    from scrm.kernel import events, jobs  # they need this module to be loaded first

    current = session()
    if current.info.get("in_transaction"):
        yield current
        return
    current.info["in_transaction"] = True
    try:
        yield current
        events.deliver()
        current.commit()
    except BaseException:
        current.rollback()
        events.drop()
        jobs.drop()
        raise
    finally:
        current.info.pop("in_transaction", None)
    jobs.push_pending()

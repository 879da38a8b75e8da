"""The marts as tables of PostgreSQL: DuckDB works them out over the lake, as `bi.duckdb` has them."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from etl.process import interruptible
from etl.publish.bi import definitions
from etl.publish.partitions import WHOLE
from etl.publish.postgres_session import Session
from etl.publish.postgres_state import Part
from etl.publish.postgres_tables import KINDS, ROWS, Place, has_columns, make, replace_all, reshape, word_of
from etl.publish.spill import spill_folder
from etl.publish.target import Release
from etl.schema import literal, quote
from etl.views import View, views

SCHEMA = "mart"
ANSWER = "answer"
DIGITS = 11
"""Digits of a number behind its first one that tell whether it is another."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mart answers over one version."""

    view: View
    connection: duckdb.DuckDBPyConnection
    """Where the table `answer` holds it."""

    @property
    def columns(self) -> Mapping[str, str]:
        """The type word of each column."""
        found = self.connection.table(ANSWER).limit(0).to_arrow_table().schema
        return {each.name: word_of(each.type) for each in found}

    @property
    def content(self) -> str:
        """What tells it from any other.

        DuckDB adds up in any order: the last digits of numbers differ from one time to the next.
        """
        told = ", ".join(
            f"format('{{:.{DIGITS}e}}', {quote(name)})" if word == "number" else quote(name)
            for name, word in self.columns.items()
        )
        ((rows, digest),) = self.connection.execute(
            f"SELECT count(*), coalesce(sum(hash({told})), 0) FROM {ANSWER}"
        ).fetchall()
        return f"{rows} {digest}"

    def place(self) -> Place:
        """Return the table that is to hold it."""
        kinds = {name: KINDS[word] for name, word in self.columns.items()}
        return Place(self.view.qualified, kinds, (), [*_comments(self.view)])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield its rows; what no declaration knows the type of as text."""
        shown = ", ".join(
            f"{quote(name)}::VARCHAR AS {quote(name)}" if word == "text" else quote(name)
            for name, word in self.columns.items()
        )
        yield from self.connection.sql(f"SELECT {shown} FROM {ANSWER}").to_arrow_reader(ROWS)


def mart_names() -> list[str]:
    """Return the qualified names of all marts."""
    return [view.qualified for view in views() if view.schema == SCHEMA]


def bring_marts(
    session: Session, release: Release, known: Mapping[str, Mapping[str, Part]], memory: int
) -> dict[str, list[Part]]:
    """Bring the marts to this version; by name, what of those is to be noted that have changed.

    DuckDB may hold so many megabytes.
    """
    touched = {}
    with _over(release, memory) as connection:
        for view in views():
            if view.schema != SCHEMA:
                continue
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {ANSWER} AS SELECT * FROM {view.qualified}")
            found = known.get(view.qualified, {}).get(WHOLE)
            part = _brought(session, Answer(view, connection), found)
            if part is not found:
                touched[view.qualified] = [part]
    return touched


def _brought(session: Session, answer: Answer, found: Part | None) -> Part:
    """Bring one mart to what it answers, and return what is to be noted; `found` where that is no news."""
    place, content = answer.place(), answer.content
    shape = hashlib.sha256(repr((place.columns, place.comments)).encode()).hexdigest()
    is_alike = found is not None and found.shape == shape and has_columns(session, place)
    if found and is_alike and found.since == content:
        return found
    if found is None:
        make(session, place)
    elif not is_alike:
        reshape(session, place)
    replaced = replace_all(session, place, answer.batches())
    return Part(place.qualified, WHOLE, shape, content, nul_characters=replaced)


@contextmanager
def _over(release: Release, memory: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Provide a connection with all views over this version of the lake."""
    with spill_folder() as spill, interruptible(duckdb.connect()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{memory}MB'")
        connection.execute(f"SET temp_directory = {literal(str(spill or ''))}")
        place, until = str(release.home), str(int(release.version))
        for each in definitions(place, release.time_zone, release.home, until):
            connection.execute(each)
        yield connection


def _comments(view: View) -> Iterator[str]:
    yield f"COMMENT ON TABLE {view.qualified} IS {literal(view.doc)}"
    for name, doc in view.columns.items():
        yield f"COMMENT ON COLUMN {view.qualified}.{quote(name)} IS {literal(doc)}"

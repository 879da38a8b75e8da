"""Bring the rows of a table as an earlier version declared it into the table as it is declared now.

The values of a column that is not declared any more go into `_extra`, under the name of the column. A column
that is declared now takes its values from there, where they are what it takes. One of another type does both:
what it cannot take stays in `_extra`, so that nothing is lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pyarrow as pa
from duckdb import DuckDBPyConnection

from etl import __version__
from etl.declaration import Column
from etl.errors import ConfigError
from etl.load.filling import filling
from etl.load.relation import MARK, is_marked
from etl.load.sql import names
from etl.schema import Source, Table, literal, quote, statement
from etl.transform.columns import ValueMismatchError, array
from etl.transform.flatten import EXTRA
from etl.transform.shape import paths_of, scalar
from etl.values import text_of

ROWS = 20_000
"""Most rows that are moved at a time."""
BYTES = 8_000_000
"""About how many bytes of undeclared fields are looked at at a time."""
ASIDE = "_migrating"
"""What the name of the table ends with that is to take the place of another."""
MADE, ADDED, REMOVED, RETYPED = "made", "added", "removed", "retyped"
TIMES, COUNTS = ("DATE", "TIMESTAMPTZ"), ("integer", "number", "boolean")
"""Readers of `bi.duckdb` could not read files of both, which are there side by side for a while."""
PLACE = "_place"
"""Name of the column that says which row of the former table something is taken from."""

Path = Sequence[str]
"""Names of fields that lead to a value, each within the object before it."""


@dataclass(slots=True)
class ColumnChange:
    """What becomes of one column, as it is entered in `etl.migrations`."""

    column: str
    """Its name; empty where the table itself is new."""
    change: str
    former: str = ""
    """Its type before, as DuckDB names it; empty for a new one."""
    paths: Sequence[Path] = ()
    """Where in `_extra` its values may stand; the first that it takes counts."""
    moved: int = 0
    """Rows whose value moved: into `_extra`, out of it, or to the other type."""
    left: int = 0
    """Rows whose value the other type cannot hold: it is in `_extra` now."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What becomes of one table and its rows."""

    source: Source
    table: Table
    changes: list[ColumnChange]

    @classmethod
    def made(cls, source: Source, table: Table) -> "Migration":
        """Return that the table is new in a warehouse that has others of its source."""
        return cls(source, table, [ColumnChange("", MADE)])

    @classmethod
    def of(
        cls, source: Source, table: Table, found: Mapping[str, str], retired: Sequence[str]
    ) -> "Migration":
        """Compare the columns that are there, each with its type, with those that are declared.

        Values of columns that are `retired` are in `_extra` under the names of these.

        Raises ConfigError where there is no `_extra` to hold what a column loses, and where readers could
        not follow.
        """
        columns, changes = table.columns, []
        for name, kind in found.items():
            if name not in columns:
                changes.append(ColumnChange(name, REMOVED, kind))
            elif columns[name].sql != kind:
                if kind in TIMES and columns[name].type in COUNTS:
                    raise _refusal(
                        f"{table.qualified}.{name} is a time there, and would be no time: name it anew"
                    )
                changes.append(ColumnChange(name, RETYPED, kind, [[name], *_paths(name, columns[name])]))
        if changes and not (EXTRA in columns and EXTRA in found):
            other = " or ".join(f"{each.column} as {each.former}" for each in changes)
            raise _refusal(f"{table.qualified} has {other}")
        for name in [name for name in columns if name not in found]:
            before = [[name]] if name in retired else []
            paths = [*before, *_paths(name, columns[name])] if EXTRA in found else []
            changes.append(ColumnChange(name, ADDED, paths=paths))
        return cls(source, table, changes)

    def unfilled(self) -> Iterator[str]:
        """Yield what records that were loaded before may have values for, which only their log can tell."""
        for each in [each for each in self.changes if not filling(self.table, each.column)]:
            if each.change == MADE:
                yield self.table.qualified
            elif each.change == ADDED and not each.paths and not self.table.columns[each.column].maintained:
                yield f"{self.table.qualified}.{each.column}"

    def apply(self, connection: DuckDBPyConnection) -> None:
        """Bring the table up to date within the open transaction.

        In a row that was there before, a new column may be empty, whatever is declared. Raises ConfigError
        where rows would have no key, or two rows the same.
        """
        if any(each.change == MADE for each in self.changes):
            return
        if self._is_to_move(connection):
            self._move(connection)
        else:
            for each in self.changes:
                added = f"{quote(each.column)} {self.table.columns[each.column].sql}"
                connection.execute(f"ALTER TABLE {self.table.qualified} ADD COLUMN {added}")
        connection.execute(";\n".join(self.table.comments()))

    def _is_to_move(self, connection: DuckDBPyConnection) -> bool:
        """Whether values move; else columns are added without any, and that is all."""
        if any(each.change != ADDED or each.column in self.table.key for each in self.changes):
            return True
        holds = " OR ".join(self._sought())
        query = f"SELECT true FROM {self.table.qualified} WHERE {holds} LIMIT 1"
        return bool(holds and connection.execute(query).fetchall())

    def _move(self, connection: DuckDBPyConnection) -> None:
        """Make the table anew with all of its rows."""
        execute, table = connection.execute, self.table
        new = [each.column for each in self.changes if each.change != REMOVED]
        made = replace(table, name=table.name + ASIDE)
        execute(next(made.ddl(optional=new)))
        kept = [name for name in table.columns if name not in {*new, EXTRA}]
        if is_marked(self.source, table):
            execute(f"ALTER TABLE {made.qualified} ADD COLUMN {quote(MARK)} BOOLEAN")
            kept.append(MARK)
        # Without `_extra`, rows are there only where nothing is moved but a column added to the key.
        extra = [EXTRA] if EXTRA in table.columns else []
        values = [names(kept, "stored"), *(names([name], "moved") for name in new)]
        values += [
            f"CASE WHEN moved.{PLACE} IS NULL THEN stored.{name} ELSE moved.{name} END" for name in extra
        ]
        for which in _portions(connection, table, [each.column for each in self.changes if each.former]):
            connection.register("moved", self._moved(connection, which))
            execute(
                f"INSERT INTO {made.qualified} ({names([*kept, *new, *extra])}) SELECT {', '.join(values)} "
                f"FROM {table.qualified} AS stored LEFT JOIN moved ON stored.rowid = moved.{PLACE} "
                f"WHERE {which} ORDER BY stored.rowid"
            )
            connection.unregister("moved")
        _check_key(connection, made, table)
        execute(f"DROP TABLE {table.qualified}")
        execute(f"ALTER TABLE {made.qualified} RENAME TO {quote(table.name)}")

    def _sought(self) -> Iterator[str]:
        """Yield the conditions that the undeclared fields of a row hold a column that is declared now."""
        for each in self.changes:
            for path in each.paths:
                yield f"json_exists({EXTRA}, {literal('$' + ''.join(f'.{quote(name)}' for name in path))})"

    def _moved(self, connection: DuckDBPyConnection, which: str) -> pa.Table:
        """Return the places of rows of which something moves, what they have anew, and their `_extra`."""
        gone = [each for each in self.changes if each.change != ADDED]
        holds = [*(f"{quote(each.column)} IS NOT NULL" for each in gone), *self._sought()]
        values = [
            f"CAST({EXTRA} AS VARCHAR)" if EXTRA in self.table.columns else "NULL",
            *map(_as_json, gone),
        ]
        rows = connection.execute(
            f"SELECT rowid, {', '.join(values)} FROM {self.table.qualified} AS stored "
            f"WHERE {which} AND ({' OR '.join(holds) or 'false'})"
        ).fetchall()
        extras = [_with_gone(text, gone, values) for _, text, *values in rows]
        columns = {each.column: self._taken(each, extras) for each in self.changes if each.change != REMOVED}
        for each in gone:
            kept = sum(each.column in extra for extra in extras)
            if each.change == REMOVED:
                each.moved += kept
            else:
                each.left += kept
        texts = [text_of(extra) if extra else None for extra in extras]
        return pa.table({PLACE: pa.array([row[0] for row in rows], pa.int64()), **columns, EXTRA: texts})

    def _taken(self, change: ColumnChange, extras: Sequence[dict[str, Any]]) -> pa.Array:
        """Return the values of a column, taken out of the undeclared fields of each row."""
        column = self.table.columns[change.column]
        found = [_take(column, change.paths, extra) for extra in extras]
        change.moved += len(found) - found.count(None)
        return array(column, found)


def enter(connection: DuckDBPyConnection, migrations: Sequence[Migration]) -> None:
    """Note what became of which column."""
    for migration in migrations:
        for each in migration.changes:
            about = {"table_name": migration.table.qualified, "column_name": each.column}
            counts = {"change": each.change, "moved_rows": each.moved, "left_rows": each.left}
            connection.execute(statement("load/enter_migration"), {"version": __version__, **about, **counts})


def notices(migrations: Sequence[Migration]) -> Iterator[str]:
    """Yield what people should know of it."""
    if migrations:
        tables = ", ".join(migration.table.qualified for migration in migrations)
        yield f"tables as Sightglass {__version__} declares them, listed in etl.migrations: {tables}"
    if unfilled := [name for migration in migrations for name in migration.unfilled()]:
        yield (
            f"not filled for what was loaded before: {', '.join(unfilled)}; "
            "`sightglass rebuild` fills them from the log"
        )


def _paths(name: str, column: Column) -> list[Path]:
    """Return where in `_extra` a record may have left the values of a column.

    What stands above the object that a row is made of, or is set by a source, is never there.
    """
    own = () if column.maintained else paths_of(name, column)
    return [path.split("/") for path in own if not path.startswith(("/", "../", "+"))]


def _portions(connection: DuckDBPyConnection, table: Table, gone: Sequence[str]) -> Iterator[str]:
    """Yield the conditions for some rows after the other, in the order in which they are stored."""
    wide = [*gone, *([EXTRA] if EXTRA in table.columns else [])]
    extra = " + ".join(["0", *(f"coalesce(strlen(CAST({quote(name)} AS VARCHAR)), 0)" for name in wide)])
    ((end, widest),) = connection.execute(
        f"SELECT coalesce(max(rowid), -1) + 1, coalesce(max({extra}), 0) FROM {table.qualified}"
    ).fetchall()
    rows = max(1, min(ROWS, BYTES // (widest + 1)))
    for start in range(0, end, rows):
        yield f"stored.rowid >= {start} AND stored.rowid < {start + rows}"


def _as_json(change: ColumnChange) -> str:
    """Return the expression for a value as an API would send it, a time in ISO 8601."""
    value = quote(change.column)
    if change.former == "TIMESTAMPTZ":
        value = f"strftime({value} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"CASE WHEN {value} IS NOT NULL THEN CAST(to_json({value}) AS VARCHAR) END"


def _with_gone(
    text: str | None, gone: Sequence[ColumnChange], values: Sequence[str | None]
) -> dict[str, Any]:
    """Return the undeclared fields of a row, and with them the values of the columns that are gone."""
    extra: dict[str, Any] = {} if text is None else msgspec.json.decode(text)
    for each, value in zip(gone, values, strict=True):
        if value is not None:
            _make_room(extra, each.column)
            extra[each.column] = _parsed(value)
    return extra


def _make_room(extra: dict[str, Any], name: str) -> None:
    """Give an undeclared field that is called like a column another name, which nothing has."""
    if name in extra:
        _make_room(extra, f"{name}_")
        extra[f"{name}_"] = extra.pop(name)


def _parsed(text: str) -> object:
    """Return what a JSON text holds; the text where it is none, as a number that is not finite."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _take(column: Column, paths: Sequence[Path], extra: dict[str, Any]) -> object:
    """Return the first value at these paths that the column takes, taken out of the fields; else None."""
    for *way, last in paths:
        within: Any = extra
        for name in way:
            within = within.get(name) if isinstance(within, dict) else None
        for value in _readings(column, within.get(last)) if isinstance(within, dict) else ():
            taken = _converted(column, value)
            if taken is not None:
                del within[last]
                _drop_empty(extra, way)
                return taken
    return None


def _drop_empty(fields: dict[str, Any], way: Path) -> None:
    """Drop the objects on the way that hold nothing any more."""
    if way:
        first, *rest = way
        _drop_empty(fields[first], rest)
        if not fields[first]:
            del fields[first]


def _readings(column: Column, value: object) -> Iterator[object]:
    """Yield what a value can be read as without a loss: itself, the number it is the text of, or its text.

    A number in a text is no time: that it counts seconds, nothing tells.
    """
    if value is None:
        return
    yield value
    if isinstance(value, str):
        read = None if column.type == "timestamp" else _parsed(value)
        if isinstance(read, int | float) and text_of(read) == value:
            yield read
    elif isinstance(value, int | float):
        if isinstance(value, float) and value.is_integer():
            yield int(value)
        yield text_of(value)


def _converted(column: Column, value: object) -> object:
    """Return the value as a record may send it for the column; None where that is another, or none."""
    try:
        converted = msgspec.convert(value, scalar(column))
        array(column, [converted])
    except (msgspec.ValidationError, ValueMismatchError):
        return None
    return converted if converted == value else None


def _check_key(connection: DuckDBPyConnection, made: Table, table: Table) -> None:
    """Raise ConfigError where a row has no whole key, or that of another."""
    rows, key = f"FROM {made.qualified}", names(made.key)
    empty = " OR ".join(f"{quote(name)} IS NULL" for name in made.key)
    ((lacking, double),) = connection.execute(
        f"SELECT (SELECT count(*) {rows} WHERE {empty}), "
        f"(SELECT count(*) {rows}) - (SELECT count(*) FROM (SELECT DISTINCT {key} {rows}))"
    ).fetchall()
    what = ", ".join(made.key)
    if lacking:
        raise _refusal(f"{lacking:,} rows of {table.qualified} have no value for its key ({what})")
    if double:
        raise _refusal(f"{double:,} rows of {table.qualified} would have the key ({what}) of another")


def _refusal(why: str) -> ConfigError:
    return ConfigError(
        f"the warehouse cannot become as this version declares it: {why}; nothing was changed: run "
        "`sightglass rebuild --log-alone`, which makes the tables anew from the log, or load into a new "
        "SIGHTGLASS_HOME"
    )

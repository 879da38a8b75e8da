"""Make the tables anew without a medium or a person; the new file never held a byte of either."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote as percent

import msgspec
import pyarrow as pa

from etl import schema
from etl.errors import ConfigError, RecordError
from etl.extract.forgotten import GONE, Forgotten, Members
from etl.extract.mentions import Kind, normal, oddly_folded
from etl.load.completing import FORMER
from etl.load.relation import MARK, is_marked
from etl.load.warehouse import Warehouse
from etl.schema import SYSTEM, Source, Table, literal, quote
from etl.transform.batch import BEGINNING, RejectedRecord
from etl.transform.flatten import EXTRA
from etl.transform.forgetting import members_of
from etl.transform.shape import paths_of
from etl.values import UNREADABLE, text_of

REFUSED = f"{SYSTEM}.quarantine"
OF_ONE = (REFUSED, f"{SYSTEM}.gaps")
"""Tables of the system whose rows go with the medium that they name, whatever else they say."""

Row = dict[str, Any]


def needles(text: str) -> list[str]:
    """Return the ways in which an id may be written in a value, but for capitals."""
    return list(
        dict.fromkeys(
            written
            for each in (text, text.casefold())
            for written in (each, json.dumps(each, ensure_ascii=False)[1:-1], percent(each, safe=""))
        )
    )


def is_known(warehouse: Warehouse, kind: Kind, text: str) -> bool:
    """Whether the tables hold this medium or person.

    ConfigError where they hold it as something else: what is no medium must not be forgotten as one.
    """
    if normal(kind, text) in {normal(kind, each) for each in _own_names()}:
        # Taken for an id, it would go from every record: the first line of CSV is such a one.
        raise ConfigError(f"this is the id of no {kind}: tables, columns or fields of records are called so")
    known, other = False, ""
    for table, name, is_it in _columns_of(kind):
        if not known or not is_it:
            column = quote(name)
            value = f"CAST({column} AS VARCHAR)"
            if table.columns[name].type != "json":
                same = f"{_folded(value, text)} = lower($text)" if kind == "person" else f"{value} = $text"
                parameters = {"text": normal(kind, text)}
            elif not is_it:
                continue
            else:
                folded = _folded(value, text)
                same = f"{folded} = lower($text) OR contains({folded}, lower($quoted))"
                parameters = {"text": text.casefold(), "quoted": _quoted(text)}
            rows = warehouse.connection.execute(
                f"SELECT 1 FROM {table.qualified} WHERE {same} LIMIT 1", parameters
            ).fetchall()
            known = known or bool(rows and is_it)
            if rows and not is_it and (not other or table.not_null(name)):
                other = f"{table.qualified}.{name}" + ("!" if table.not_null(name) else "")
    known = known or _is_undeclared(warehouse, text)
    if other.endswith("!") or (other and not known):
        raise ConfigError(f"this is the id of no {kind}: it stands in {other.rstrip('!')}")
    return known


def _own_names() -> Iterator[str]:
    """Yield what sources, tables, columns and the members of records are called."""
    yield "id"  # in files and actions
    for source in schema.sources():
        yield source.name
        for table in source.tables.values():
            yield table.name
            for name, column in table.columns.items():
                yield name
                for path in paths_of(name, column):
                    yield from path.split("/")


def _is_undeclared(warehouse: Warehouse, text: str) -> bool:
    """Whether a field that no column is declared for holds just this."""
    value = _folded(f"CAST({EXTRA} AS VARCHAR)", text)
    return any(
        warehouse.connection.execute(
            f"SELECT 1 FROM {table.qualified} WHERE contains({value}, lower($quoted)) LIMIT 1",
            {"quoted": _quoted(text)},
        ).fetchall()
        for name in schema.names()
        for table in schema.source(name).tables.values()
    )


def _quoted(text: str) -> str:
    return json.dumps(text.casefold(), ensure_ascii=False)


def _folded(value: str, text: str) -> str:
    """Return the expression that is the same for values that casefold like a text: `lower` alone is not."""
    odd = _odd_letters(text)
    if not odd:
        return f"lower({value})"
    mended = value
    for letter in odd:
        mended = f"replace({mended}, '{letter}', {literal(letter.casefold())})"
    return f"CASE WHEN {_is_odd(value, odd)} THEN lower({mended}) ELSE lower({value}) END"


def _odd_letters(text: str) -> str:
    """Return the letters that `lower` leaves as they are, and that may stand for some of a text."""
    folded = set(text.casefold())
    return "".join(letter for letter in oddly_folded() if folded.issuperset(letter.casefold()))


def _is_odd(value: str, odd: str) -> str:
    return f"regexp_matches({value}, '[{odd}]')"


def _columns_of(kind: Kind) -> Iterator[tuple[Table, str, bool]]:
    """Yield the text columns of all sources, each with whether it names such a one."""
    for name in schema.names():
        for table in schema.source(name).tables.values():
            for column_name, column in table.columns.items():
                if column.identifies or (column.type in ("text", "json") and not column.maintained):
                    yield table, column_name, column.identifies == kind


def renamed_refusals(warehouse: Warehouse, forgotten: Forgotten, text: str) -> dict[str, str]:
    """Return by its id the new one of each refused record that stays and is another afterwards."""
    table = schema.source(SYSTEM).tables["quarantine"]
    rows = _fetched(warehouse, schema.source(SYSTEM), table, table.qualified, _affected(table, text))
    (key,) = table.key
    made = [(row[key], _row(schema.source(SYSTEM), table, dict(row), forgotten)) for row in rows]
    return {old: new[key] for old, new in made if new and new[key] != old}


@dataclass(frozen=True, slots=True)
class Wish:
    """Who is to be forgotten."""

    forgotten: Forgotten
    text: str
    """The id, as it was given."""
    hashes: Mapping[int, int] = field(default_factory=dict)
    """By the hash of a record as it was, the one that it has now."""


def copy_without(warehouse: Warehouse, wish: Wish) -> dict[str, int]:
    """Copy all tables from the former warehouse; by table, the rows that went or are others now."""
    changed: dict[str, int] = {}
    for source in schema.sources():
        with warehouse.transaction():
            for table in source.tables.values():
                count = _copy(warehouse, source, table, wish)
                if count:
                    changed[table.qualified] = count
    return changed


def _copy(warehouse: Warehouse, source: Source, table: Table, wish: Wish) -> int:
    columns = ", ".join(map(quote, _names(source, table)))
    former, affected = f"{FORMER}.{table.qualified}", _affected(table, wish.text)
    warehouse.connection.execute(
        f"INSERT INTO {table.qualified} ({columns}) SELECT {columns} FROM {former} WHERE NOT ({affected})"
    )
    _rehash(warehouse, table, wish.hashes)
    rows = _fetched(warehouse, source, table, former, affected)
    made = [_row(source, table, dict(row), wish.forgotten) for row in rows]
    hash_of = table.declared.record_hash
    for row, old in zip(made, rows, strict=True):
        if row and hash_of:
            # What was another row was made of another record, of which the log may know nothing any more.
            row[hash_of] = wish.hashes.get(old[hash_of], old[hash_of] if row == old else None)
    left = [row for row in made if row is not None]
    if left:
        arrow = pa.schema(
            [*table.arrow(), *([pa.field(MARK, pa.bool_())] if is_marked(source, table) else [])]
        )
        warehouse.connection.register("left_over", pa.Table.from_pylist(left, arrow))
        warehouse.connection.execute(
            f"INSERT INTO {table.qualified} ({columns}) SELECT {columns} FROM left_over"
        )
        warehouse.connection.unregister("left_over")
    return sum(new != old for new, old in zip(made, rows, strict=True))


def _rehash(warehouse: Warehouse, table: Table, hashes: Mapping[int, int]) -> None:
    """Let rows that are as they were know the record that they are made of, which is not."""
    if not hashes or not table.declared.record_hash:
        return
    name = quote(table.declared.record_hash)
    pairs = pa.table(
        {"old": pa.array(hashes.keys(), pa.int64()), "new": pa.array(hashes.values(), pa.int64())}
    )
    warehouse.connection.register("rehashed", pairs)
    warehouse.connection.execute(
        f"UPDATE {table.qualified} SET {name} = rehashed.new FROM rehashed WHERE {name} = rehashed.old"
    )
    warehouse.connection.unregister("rehashed")


def _names(source: Source, table: Table) -> list[str]:
    return [*table.columns, *([MARK] if is_marked(source, table) else [])]


def _texts(table: Table) -> list[str]:
    return [name for name, column in table.columns.items() if column.type in ("text", "json")]


def _affected(table: Table, text: str) -> str:
    """Return the condition that a row may name somebody; more than those that do may meet it."""
    found = [
        f"coalesce({condition}, false)"
        for name in _texts(table)
        for condition in _may_hold(f"CAST({quote(name)} AS VARCHAR)", text)
    ]
    if table.qualified == REFUSED:
        # As received, any character may be written behind a backslash.
        found.append("encoding = 'base64' OR contains(record, '\\')")
    return " OR ".join(found) or "false"


def _may_hold(value: str, text: str) -> list[str]:
    """Return conditions of which one is met where a value may name somebody, however that is written.

    What DuckDB's `lower` makes is no casefolded text, so that whatever folds otherwise is looked at too.
    """
    decoded = f"lower(TRY(url_decode({value})))"
    return [
        *(f"contains(lower({value}), lower({literal(each)}))" for each in needles(text)),
        *(
            f"contains({value}, '%') AND coalesce(contains({decoded}, lower({literal(each)})), true)"
            for each in dict.fromkeys((text, text.casefold()))
        ),
        f"contains({value}, '\\u')",
        *(_is_odd(value, odd) for odd in [_odd_letters(text)] if odd),
    ]


def _fetched(
    warehouse: Warehouse, source: Source, table: Table, relation: str, condition: str
) -> Sequence[Row]:
    shown = ", ".join(
        f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}"
        if name in table.columns and table.columns[name].type == "json"
        else quote(name)
        for name in _names(source, table)
    )
    query = f"SELECT {shown} FROM {relation} WHERE {condition}"
    found: Any = warehouse.connection.sql(query).to_arrow_table()
    rows: Sequence[Row] = found.to_pylist()
    return rows


def _row(source: Source, table: Table, row: Row, forgotten: Forgotten) -> Row | None:
    """Return a row without those who are named in it; None where it goes with a medium."""
    own, met = members_of(source), forgotten.media_met
    for name in _texts(table):
        if row[name] is None:
            continue
        new = _value(table, name, row, forgotten, own)
        if new is GONE and table.not_null(name):
            return None
        row[name] = None if new is GONE else new
    if table.qualified in OF_ONE and forgotten.media_met > met:
        return None
    return _renamed(row, table) if table.qualified == REFUSED else row


def _value(table: Table, name: str, row: Row, forgotten: Forgotten, own: Members) -> Any:  # noqa: ANN401 -- a text, or GONE
    text = row[name]
    if table.columns[name].type == "json":
        value = msgspec.json.decode(text)
        new = forgotten.value(value, own, is_id=own.identify(name))
        return new if new is GONE else text if new is value else text_of(new)
    if table.qualified == REFUSED and table.columns[name].large:
        return _received(text, row, forgotten, own)
    return forgotten.whole(text) if own.identify(name) else forgotten.text(text)


def _received(text: str, row: Row, forgotten: Forgotten, own: Members) -> str:
    """Return what was refused without them, as it is kept."""
    if row["encoding"] == "base64":
        content = base64.b64decode(text)
        without = str(forgotten.text(content.decode(errors="surrogateescape")))
        return base64.b64encode(without.encode(errors="surrogateescape")).decode()
    with suppress(*UNREADABLE):
        value = msgspec.json.decode(text)
        new = forgotten.value(value, own)
        return text if new is value or new is GONE else msgspec.json.encode(new).decode()
    return str(forgotten.text(text))


def _renamed(row: Row, table: Table) -> Row:
    """Give what was refused the name that it has as it is now."""
    if row["encoding"] == BEGINNING:
        return row
    content = base64.b64decode(row["record"]) if row["encoding"] == "base64" else row["record"].encode()
    about, source = json.loads(row["context"]), schema.source(row["source"])
    volatile = source.volatile_members(row["stream"])
    if row["kind"] == "file":
        (whole, *_) = source.of_stream(row["stream"])
        about, volatile = {name: about[name] for name in whole.key}, frozenset()
    why = RecordError(row["reason"], row["path"])
    refused = RejectedRecord(content, about, why, volatile=volatile)
    (key,) = table.key
    row[key] = refused.fingerprint(row["source"], row["stream"], row["partition"])
    return row

"""The views in `sql/mart/`, which answer usual questions, and in `sql/staging/`, what several of them read.

Each is a file: a documenting comment and a query.

The comment begins with the question as one line, which ends in a question mark. What else there is to say
of the view follows in lines of its own. After an empty comment line (`--`) each column of the answer has
its line, in order: `--`, three spaces, the name, two spaces or more, and what it holds. What does not fit
goes on in the next line, indented deeper. The query has no semicolon.

Days are those of the plant's time zone: where a query says 'UTC', the zone of the settings is put.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from etl.errors import ConfigError
from etl.schema import folder, literal, quote

SCHEMAS = {
    "staging": "Views that the marts have in common",
    "mart": "Views that answer usual questions",
}
"""The schemas of all views, in which each reads those before it, and what they hold."""

UTC = "UTC"
"""The time zone that the files name, which stands for that of the settings."""

READ = re.compile(r"\bstaging\.(\w+)")

COLUMN = re.compile(r"--   (?P<name>\w+) {2,}(?P<doc>\S.*)")
MORE = re.compile(r"-- {4,}(?P<doc>\S.*)")


@dataclass(frozen=True, slots=True)
class View:
    """One view: the question it answers, what its columns hold, and how the answer is computed."""

    schema: str
    name: str
    doc: str
    columns: dict[str, str]
    """What each column holds, in the order of the query."""
    query: str

    @property
    def qualified(self) -> str:
        """The name to use in SQL."""
        return f"{self.schema}.{self.name}"

    def query_in(self, zone: str) -> str:
        """Return the query with the days of a time zone."""
        return self.query.replace(literal(UTC), literal(zone))

    def ddl(self, zone: str = UTC) -> Iterator[str]:
        """Yield the statements that create the view with its comments, which replacing a view drops."""
        yield f"CREATE OR REPLACE VIEW {self.qualified} AS\n{self.query_in(zone)}"
        yield f"COMMENT ON VIEW {self.qualified} IS {literal(self.doc)}"
        for name, doc in self.columns.items():
            yield f"COMMENT ON COLUMN {self.qualified}.{quote(name)} IS {literal(doc)}"


@cache
def views() -> list[View]:
    """All views by schema and name, but after those that they read."""
    found = [read(path) for schema in SCHEMAS for path in sorted((folder("sql") / schema).glob("*.sql"))]
    shared = {view.name: view for view in found if view.schema == "staging"}
    order = TopologicalSorter({name: READ.findall(view.query) for name, view in shared.items()})
    return [*map(shared.__getitem__, order.static_order()), *found[len(shared) :]]


def statements(zone: str = UTC) -> Iterator[str]:
    """Yield the statements that make all views, over tables that are there, with the days of a time zone."""
    for schema in SCHEMAS:
        yield f"CREATE SCHEMA IF NOT EXISTS {schema}"
    for view in views():
        yield from view.ddl(zone)


def with_read(path: Path) -> list[View]:
    """Return the view of one file, after the views that it reads; ConfigError as `read` has it."""
    view = read(path)
    files = [folder("sql") / "staging" / f"{name}.sql" for name in dict.fromkeys(READ.findall(view.query))]
    return [*(each for file in files for each in with_read(file)), view]


def read(path: Path) -> View:
    """Return the view of one file; ConfigError says what is wrong with its comment."""
    schema = path.parent.name
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next((at for at, line in enumerate(lines) if not line.startswith("--")), len(lines))
    comment, query = lines[:end], "\n".join(lines[end:]).strip()
    try:
        gap = comment.index("--") if "--" in comment else len(comment)
        return View(schema, path.stem, _doc(comment[:gap]), _columns(comment, gap + 1), _checked(query))
    except ValueError as error:
        raise ConfigError(f"sql/{schema}/{path.name}: {error}") from error


def _doc(lines: list[str]) -> str:
    """Return the question and what follows it, as one text."""
    if not lines or not re.fullmatch(r"-- \S.*\?", lines[0]):
        raise ValueError("the first line must be a comment that asks what the view answers")
    return " ".join(line.removeprefix("--").strip() for line in lines)


def _columns(lines: list[str], start: int) -> dict[str, str]:
    """Return what each column holds, from the lines after the empty comment line."""
    columns: dict[str, str] = {}
    name = ""
    for number, line in enumerate(lines[start:], start=start + 1):
        if found := COLUMN.fullmatch(line):
            name = found["name"]
            if name in columns:
                raise ValueError(f"line {number} describes {name} again")
            columns[name] = found["doc"]
        elif name and (found := MORE.fullmatch(line)):
            columns[name] += f" {found['doc']}"
        else:
            raise ValueError(f"line {number} must be a column's name, two spaces and what it holds")
    if not columns:
        raise ValueError("an empty comment line must come before a line for each column")
    return columns


def _checked(query: str) -> str:
    if not query or query.endswith(";"):
        raise ValueError("a query without a semicolon must follow the comment")
    return query

"""The report: one HTML page that needs nothing but itself, made of the answers to `sql/report/`."""

import re
from base64 import b64encode
from contextlib import suppress
from datetime import datetime
from gzip import compress
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from etl.errors import EnvironmentFaultError
from etl.load.duckdb_errors import first_line
from etl.publish.thumbnails import Read, thumbnails
from etl.schema import folder, statement

PAGE = Path(__file__).parent / "page"
CODE = ("charts.js", "parts.js", "health.js", "cogniac.js", "neurons.js", "pages.js")
BASE = ("detections", "days", "applications", "subjects", "videos")
"""What several questions build upon: each made once, as a table of the session; a later one may read it."""
LONGEST = 400
"""Characters of a text beyond which it is cut: no name can make the page as large as it likes."""
UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""What could end the block of data in the page, or a line of it, and how JSON writes it instead."""


def no_pictures(_path: str, _most: int) -> None:
    """Read no picture, as where there is no archive."""


def page(connection: duckdb.DuckDBPyConnection, made_at: datetime, read: Read = no_pictures) -> str:
    """Return the page as it stands in its file, with pictures that are read from the archive.

    The connection's days are those of UTC. EnvironmentFaultError where the charting library is missing.
    """
    library = _library()
    code = "".join(_part(name) for name in CODE)
    answers = _answers(connection, made_at)
    found = thumbnails(answers["creatives"]["thumbnail_path"], read)
    data = {
        "made_at": made_at,
        "answers": bounded(answers),
        "pictures": {bounded(path): picture for path, picture in found.items()},
    }
    parts = {
        "policy": _policy(code.encode(), library),
        "style": _part("page.css"),
        "answers": _embedded(data),
        # Packed it takes 2 MB instead of 5; the page unpacks it.
        "library": b64encode(compress(library, compresslevel=6, mtime=0)).decode(),
        "code": code,
    }
    # In one pass: nothing is looked for in what was put in, least of all in the data.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _part("page.html"))


def _answers(connection: duckdb.DuckDBPyConnection, made_at: datetime) -> dict[str, dict[str, list[Any]]]:
    """By name of the question, the columns of its answer."""
    names = sorted(path.stem for path in (folder("sql") / "report").glob("*.sql"))
    connection.begin()  # so that all answers are of one moment, whatever is published meanwhile
    try:
        for name in BASE:
            query = statement(f"report/base/{name}")
            connection.execute(f"CREATE TEMP TABLE report_{name} AS\n{query}", _named(query, made_at))
        return {name: _columns(connection, statement(f"report/{name}"), made_at) for name in names}
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        reason = first_line(error)
        raise EnvironmentFaultError(
            f"the report cannot be made of what is published: {reason}; `sightglass publish` makes it anew"
        ) from error
    finally:
        with suppress(duckdb.Error):  # what broke off a query may have ended the transaction too
            connection.rollback()


def _columns(connection: duckdb.DuckDBPyConnection, question: str, made_at: datetime) -> dict[str, list[Any]]:
    answer = connection.sql(question, params=_named(question, made_at)).to_arrow_table()
    form = pa.schema([field.with_type(_shown_as(field.type)) for field in answer.schema])
    columns: dict[str, list[Any]] = answer.cast(form).to_pydict()
    return columns


def _shown_as(kind: pa.DataType) -> pa.DataType:
    """Return the type in which values are taken out: days as text.

    A time zone can put the first moment of the year 1 on a day before it, and Python has none.
    """
    if pa.types.is_list(kind):
        return pa.list_(_shown_as(kind.value_type))
    return pa.string() if pa.types.is_date(kind) else kind


def _named(question: str, made_at: datetime) -> dict[str, datetime] | None:
    return {"made_at": made_at} if "$made_at" in question else None


def bounded(value: Any) -> Any:  # noqa: ANN401 -- whatever an answer holds
    """Return an answer with its long texts cut.

    What was cut ends in a fingerprint of the whole: two ids that begin alike stay two.
    """
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}…{sha256(value.encode()).hexdigest()[:8]}"
    if isinstance(value, list):
        return [bounded(each) for each in value]
    if isinstance(value, dict):
        return {name: bounded(each) for name, each in value.items()}
    return value


def _embedded(value: object) -> str:
    """Return the value as JSON that is safe inside a script element."""
    return msgspec.json.encode(value).decode().translate(UNSAFE)


def _library() -> bytes:
    """Return the charting library, as its Python package brings it."""
    try:
        return files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    except (ImportError, OSError) as error:
        raise EnvironmentFaultError(
            "the report needs plotly: pip install 'sightglass-etl[report]'"
        ) from error


def _policy(*scripts: bytes) -> str:
    """Return what the page may do: run these scripts and no others, and ask nobody for anything."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _part(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")

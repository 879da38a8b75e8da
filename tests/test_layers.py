"""Who may import whom, where names of columns may stand, and how long things may get."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl import schema

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "etl"
LONGEST_FUNCTION = 40
LONGEST_FILE = 350
MANY = 4
"""Names of columns that make a list of columns."""


def name_of(path: Path) -> str:
    """The name of a module within the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = [name for name in FILES if name.partition(".")[0] != "demo"]
"""The modules of the product; the simulators stand on their own."""

VALUES = {"compute", "declaration", "errors", "plugins", "schema", "values"}
MAY_IMPORT = {
    "": set[str](),
    "__main__": {"cli", "process"},
    "process": set[str](),
    "errors": set[str](),
    "event": set[str](),
    "values": set[str](),
    "compute": set[str](),
    "setting": {"errors"},
    "settings_file": {"errors", "setting"},
    "setting_names": {"errors", "setting"},
    "config": {"errors", "setting", "setting_names", "settings_file"},
    "python_reference": {"reference"},
    "manual": {"cli", "config", "errors", "pipeline.areas", "python_reference", "setting"},
    "files": set[str](),
    "redact": set[str](),
    "declaration": {"values"},
    "declaration_checks": {"declaration", "errors", "schema", "values"},
    "plugins": {"errors"},
    "schema": {"declaration", "declaration_checks", "errors", "plugins", "values"},
    "views": {"errors", "schema"},
    "dialects": {"views"},
    "foreign_keys": {"schema"},
    "dbt": {"declaration", "foreign_keys", "schema", "version", "views"},
    "diagrams": {"foreign_keys", "schema", "views"},
    "dictionary": {"declaration", "schema", "views"},
    "reference": {"declaration"},
    "archive": {"archive", "config", "errors", "extract", "files"},
    "inbox": {"errors", "files", "inbox", "version"},
    "http_server": set[str](),
    "listen": {"errors", "files", "http_server", "inbox", "listen", "setting"},
    "ui": {"errors", "http_server", "ui"},
    "extract": {"config", "errors", "event", "extract", "files", "redact", "setting", "values", "version"},
    "sources": {
        "archive",
        "config",
        "errors",
        "event",
        "extract",
        "inbox",
        "plugins",
        "schema",
        "setting",
        "values",
    },
    "transform": {*VALUES, "extract.forgotten", "extract.log", "extract.stream", "transform", "version"},
    "load": {
        *VALUES,
        "extract.forgotten",
        "extract.log",
        "extract.mentions",
        "extract.stream",
        "files",
        "load",
        "transform",
        "version",
    },
    "publish": {
        *(*VALUES, "archive", "config", "event", "files", "process", "publish", "setting", "views"),
        "extract.forgotten",
        *("load.database", "load.differences", "load.duckdb_errors", "load.relation", "load.sql"),
        "load.warehouse",
    },
    "notify": {
        *("config", "errors", "files", "load.warehouse", "notify", "process", "publish", "redact", "schema"),
        *("setting", "version"),
    },
    "pipeline": {
        *(
            *VALUES,
            "config",
            "event",
            "extract",
            "files",
            "inbox",
            "load",
            "pipeline",
            "process",
            "publish",
            "redact",
            "setting",
            "sources",
        ),
        *("transform", "version"),
    },
    "doctor": {
        *(*VALUES, "config", "doctor", "extract", "inbox", "load", "pipeline", "publish", "setting"),
        *("sources", "version"),
    },
    "cli": {
        *(
            *VALUES,
            "archive",
            "cli",
            "config",
            "dbt",
            "demo",
            "dialects",
            "doctor",
            "event",
            "extract",
            "files",
            "inbox",
            "listen",
            "load",
            "pipeline",
        ),
        *("notify", "process", "publish", "redact", "setting", "settings_file", "sources", "transform"),
        "ui",
        "version",
    },
}
"""What each part of the package may import of it; a source also its own modules, never another source."""

REGISTER = "sources"
"""The register of sources: who may import it may not import a source."""
MAY_NOT_IMPORT = {"sources": {"duckdb", "pyarrow"}}
"""What must stay out of a part: a source yields records and values, and knows no warehouse."""


def imported(module: str, text: str) -> Iterator[str]:
    """The full names of all that a module imports, wherever in it and by whatever means."""
    package = ["etl", *module.split(".")]
    if not FILES[module].name.startswith("__init__"):
        package.pop()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield ast.unparse(node.args[0]).lstrip("f").strip("'\"").partition("{")[0].rstrip(".")


def wrong(module: str, text: str) -> list[str]:
    """What a module imports and may not, by names within the package where it is of the package."""
    area = module.partition(".")[0]
    allowed = MAY_IMPORT[area] | ({".".join(module.split(".")[:2])} if area == "sources" else set())
    found = []
    for name in imported(module, text):
        top, _, inside = name.partition(".")
        while top == "etl" and inside and inside not in FILES:
            inside = inside.rpartition(".")[0]
        here = inside or "version" if top == "etl" else ""
        if here and not any(
            here == each or (each != REGISTER and here.startswith(f"{each}.")) for each in allowed
        ):
            found.append(here)
        if top in MAY_NOT_IMPORT.get(area, ()):
            found.append(top)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    """A module imports only what its part of the package may know."""
    assert [] == wrong(module, FILES[module].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("module", "text", "expected"),
    [
        ("errors", "import etl", "version"),
        ("values", "from etl import errors", "errors"),
        ("config", "import etl.values", "values"),
        ("extract.http", "from etl.schema import Table", "schema"),
        ("sources.cogniac", "from etl.sources.neurons import assets", "sources.neurons.assets"),
        ("sources.neurons.assets", "from .. import cogniac", "sources.cogniac"),
        ("sources.neurons", "def read():\n    import pyarrow as pa", "pyarrow"),
        ("sources.cogniac", "if TYPE_CHECKING:\n    from duckdb import DuckDBPyConnection", "duckdb"),
        ("transform.columns", "from etl.extract.http import Api", "extract.http"),
        ("load.save", "from ..pipeline import run", "pipeline.run"),
        ("load", "from .. import pipeline", "pipeline"),
        ("pipeline", "from etl.cli import main", "cli"),
        ("cli.run", "import etl.sources.neurons.assets", "sources.neurons.assets"),
        ("cli", 'import_module("etl.sources.cogniac")', "sources.cogniac"),
    ],
)
def test_import_that_goes_the_wrong_way_is_seen(module: str, text: str, expected: str) -> None:
    """Whatever form a forbidden import has, it is found."""
    assert [expected] == wrong(module, text)


def test_nothing_but_the_listener_and_the_page_imports_a_server() -> None:
    """Runs, and all other commands, work where the extras `listen` and `ui` are not installed."""
    found = {
        module
        for module in MODULES
        for name in imported(module, FILES[module].read_text(encoding="utf-8"))
        if name.partition(".")[0] in {"h11", "starlette", "uvicorn"}
    }

    assert {"http_server", "listen.receiver", "ui.access", "ui.app", "ui.server"} == found


def test_only_an_archive_or_a_lake_there_imports_object_stores() -> None:
    """All commands work where the extra `store` is not installed."""
    found = {
        module
        for module in MODULES
        for name in imported(module, FILES[module].read_text(encoding="utf-8"))
        if name.partition(".")[0] == "obstore"
    }

    assert {"archive.bucket", "publish.store.objects"} == found


BY_EXTRA = {
    "sqlglot": {"dialects"},
    "deltalake": {"publish.delta.log", "publish.delta.tables"},
    "pyiceberg": {
        f"publish.iceberg.{each}" for each in ("catalog", "commit", "files", "manifests", "strays", "tables")
    },
    "sqlalchemy": {f"publish.iceberg.{each}" for each in ("catalog", "manifests", "tables")},
    "pyspark": {"pipeline.remote.cluster"},
    "adbc_driver_postgresql": {"publish.postgres_session"},
}
"""By package of an extra, the modules that import it: all else works where it is not installed."""


@pytest.mark.parametrize("package", BY_EXTRA)
def test_what_an_extra_brings_is_imported_where_it_is_used_alone(package: str) -> None:
    """Whoever does not install the extra misses nothing else."""
    found = {
        module
        for module in MODULES
        for name in imported(module, FILES[module].read_text(encoding="utf-8"))
        if name.partition(".")[0] == package
    }

    assert BY_EXTRA[package] == found


def test_every_part_has_its_rule() -> None:
    """No part of the package is without a rule, and no rule without its part."""
    assert set(MAY_IMPORT) == {module.partition(".")[0] for module in MODULES}


def test_sources_are_the_schema_files() -> None:
    """Each schema file but the system's own has a module of its name, and each module in `sources` one."""
    modules = {module.split(".")[1] for module in MODULES if module.startswith("sources.")}

    assert {path.stem for path in (ROOT / "schemas").glob("*.toml")} - {"etl"} == modules


REPORT = "these are names of `run --json` too, an interface of its own"
ROWS = "the source makes these rows itself, out of what has no place in a record that could be declared"
MADE_HERE = "these rows are made here, in bulk, and sent by nobody"
ALLOWED = {
    ("cli.quarantine", "etl.quarantine"): REPORT,
    ("cli.run", "etl.run_streams"): REPORT,
    ("cli.run", "etl.run_days"): REPORT,
    ("load.run_store", "etl.quarantine"): MADE_HERE,
    ("sources.cogniac.records", "cogniac.detection_boxes"): ROWS,
    ("archive.archive", "cogniac.media_files"): ROWS,
    ("archive.archive", "neurons.assets"): ROWS,
    ("sources.neurons.archive", "neurons.assets"): ROWS,
    ("sources.neurons", "neurons.assets"): ROWS,
    ("sources.neurons.metrics", "neurons.media_metrics"): ROWS,
    ("sources.neurons.assets", "neurons.frame_metrics"): ROWS,
    ("sources.neurons.assets", "neurons.aoi_frames"): ROWS,
    ("sources.neurons.assets", "neurons.aoi_metrics"): ROWS,
    ("sources.neurons.assets", "neurons.aoi_scores"): ROWS,
}
"""Lists of columns that stand in code, by module and table, and why they must."""


def lists(text: str) -> Iterator[set[str]]:
    """The texts of each list in a module, and the keys of each mapping."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items: list[ast.expr | None] = [*node.elts]
        elif isinstance(node, ast.Dict):
            items = [*node.keys]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split"
        ):
            words = ast.literal_eval(node.func.value) if isinstance(node.func.value, ast.Constant) else ""
            yield set(str(words).split())
            continue
        else:
            continue
        yield {str(each.value) for each in items if isinstance(each, ast.Constant)}


def columns_listed(module: str, text: str) -> set[tuple[str, str]]:
    """The tables whose columns are listed in the module; a source is held to its own tables."""
    area, _, rest = module.partition(".")
    near = {rest.partition(".")[0], "etl"} if area == "sources" else {*schema.names(), "etl"}
    tables = [table for source in schema.sources() if source.name in near for table in source.tables.values()]
    found = set()
    for names in lists(text):
        shared = {table.qualified: len(names & set(table.columns)) for table in tables}
        most = max(shared.values())
        found |= {(module, table) for table, count in shared.items() if most >= MANY and count == most}
    return found


def test_columns_are_listed_in_the_declarations_alone() -> None:
    """No module repeats the columns of a table, except where it makes rows that no declaration can find."""
    found = [columns_listed(module, FILES[module].read_text(encoding="utf-8")) for module in MODULES]

    assert set(ALLOWED) == set().union(*found)


@pytest.mark.parametrize(
    "text",
    [
        '["state", "bytes", "asset", "error"]',
        'ROW = {"state": 1, "bytes": 2, "asset": 3, **more, "error": 4}',
        'f(("a", "b", *("state", "bytes", "asset", "error")))',
        '"state bytes asset error".split()',
    ],
)
def test_list_of_columns_is_seen(text: str) -> None:
    """Whatever form a list of columns has, it is found."""
    assert {("load.save", "neurons.assets")} == columns_listed("load.save", text)


QUERIES = {str(path.relative_to(ROOT / "sql")): path for path in sorted((ROOT / "sql").rglob("*.sql"))}


@pytest.mark.parametrize("path", QUERIES.values(), ids=QUERIES)
def test_query_begins_with_a_sentence(path: Path) -> None:
    """The comment at the head of a query says in a sentence what it is for."""
    head = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("-- "):
            break
        head.append(line.removeprefix("-- "))

    comment = " ".join(head)

    assert re.fullmatch(r"[A-Z].*[.?]", comment), comment


API = {path.stem: path for path in sorted((ROOT / "sightglass").glob("*.py"))}
"""The modules of what programs import."""
ALL = {**FILES, **{f"sightglass.{each}": path for each, path in API.items()}}


def test_what_programs_import_does_not_print_and_is_known_to_its_reference_alone() -> None:
    """It stands beside the command, on what the command stands on; one of its modules is the command."""
    api = {each: path.read_text(encoding="utf-8") for each, path in API.items() if each != "__main__"}

    assert {"__init__", "_etl"} < set(api)
    assert [] == [each for each, text in api.items() if "etl.cli" in text or "print(" in text]
    assert [] == [
        module
        for module, path in FILES.items()
        for name in imported(module, path.read_text(encoding="utf-8"))
        if name.partition(".")[0] == "sightglass" and module != "python_reference"
    ]


@pytest.mark.parametrize("path", ALL.values(), ids=ALL)
def test_files_stay_short(path: Path) -> None:
    """No file of the package is longer than can be read at one go."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", ALL.values(), ids=ALL)
def test_functions_stay_short(path: Path) -> None:
    """No function of the package is longer than a page."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert [] == [each.name for each in functions if (each.end_lineno or 0) - each.lineno >= LONGEST_FUNCTION]

"""The dashboards in `docs/dashboards` ask for what is there: each query is put over what a run has published.

Those for Grafana ask PostgreSQL: tests/test_postgres.py.
"""

import json
import re
from collections.abc import Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import ROOT, Story
from report_page import empty

yaml: Any = import_module("yaml")
SUPERSET, EVIDENCE = (ROOT / "docs" / "dashboards" / name for name in ("superset", "evidence"))
CHARTS = {path.stem: path for path in sorted((SUPERSET / "charts").glob("*.yaml"))}
DATASETS = {path.stem: path for path in sorted((SUPERSET / "datasets").rglob("*.yaml"))}
SOURCES = {path.stem: path for path in sorted((EVIDENCE / "sources" / "sightglass").glob("*.sql"))}
PAGE = (EVIDENCE / "pages" / "index.md").read_text(encoding="utf-8")
ON_PAGE = dict(re.findall(r"^```sql (\w+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL))
SHOWN = {
    name: [*re.findall(r"\b(?:x|y|series)=(\w+)", rest)]
    for name, rest in re.findall(r"^<\w+ data=\{(\w+)\}(.*) />$", PAGE, re.MULTILINE)
}
"""The columns that the page names, by the query that must have them."""
GRAFANA = json.loads((ROOT / "docs" / "dashboards" / "grafana" / "sightglass.json").read_text("utf-8"))
COOKBOOK = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "sql" / "dbt" / "models" / "example" / "defect_rate_by_application.sql"
CAMERAS = """
    INSERT INTO cogniac.media BY NAME
    SELECT camera || number AS media_id, camera AS network_camera_id
    FROM (SELECT unnest(['A', 'B']) AS camera), range(10) AS numbers (number);
    INSERT INTO cogniac.results BY NAME
    SELECT
        'app' AS application_id, media_id, '' AS focus_key,
        TIMESTAMPTZ '2026-07-01 12:00:00Z' + to_days(CAST(media_id = 'B9' AS INTEGER)) AS updated_at
    FROM cogniac.media;
    INSERT INTO cogniac.detections BY NAME
    SELECT
        application_id, media_id, focus_key, 'd' AS detection_id, updated_at, updated_at AS created_at,
        CASE network_camera_id WHEN 'A' THEN 'scratch' ELSE 'ok' END AS subject_uid, 'model' AS asserted_by,
        0.9 AS probability
    FROM cogniac.results
    JOIN cogniac.media USING (media_id)
    WHERE network_camera_id = 'B' OR media_id < 'A5';
"""
"""Two cameras of ten media each, the last on another day; one never shows a scratch, the other five."""
KINDS = {
    "BIGINT": "BIGINT",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "DOUBLE": "FLOAT",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITHOUT TIME ZONE",
    "VARCHAR": "VARCHAR",
}
"""What Superset calls the types of DuckDB, by way of duckdb-engine."""

Yaml = dict[str, Any]


def read(path: Path) -> Yaml:
    """What a file of YAML says."""
    found: Yaml = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def published(story: Story) -> Iterator[duckdb.DuckDBPyConnection]:
    """What the dashboards are connected to."""
    with duckdb.connect(story.home / "bi.duckdb", read_only=True) as connection:
        yield connection


def test_superset_knows_the_columns_of_each_mart(published: duckdb.DuckDBPyConnection) -> None:
    """All of them, in order, with types and docs; who changes a mart changes its file."""
    query = """
        SELECT column_name, data_type, comment FROM duckdb_columns()
        WHERE schema_name = 'mart' AND table_name = $name ORDER BY column_index
    """
    expected = {
        (name, "mart", "bi"): [
            {
                "column_name": column,
                "type": KINDS[kind],
                "is_dttm": kind.startswith(("DATE", "TIMESTAMP")),
                "description": doc,
            }
            for column, kind, doc in published.execute(query, {"name": name}).fetchall()
        ]
        for name in DATASETS
    }

    found = [*map(read, DATASETS.values())]

    assert expected == {
        (each["table_name"], each["schema"], each["catalog"]): each["columns"] for each in found
    }


def test_charts_of_superset_are_answered(published: duckdb.DuckDBPyConnection) -> None:
    """What a chart asks for (its axis, series and measures, or its columns) its mart has, with rows."""
    marts = {each["uuid"]: each["table_name"] for each in map(read, DATASETS.values())}
    without_rows, otherwise_shown = [], []
    for name, path in CHARTS.items():
        chart = read(path)
        (asked,) = json.loads(chart["query_context"])["queries"]
        if not published.sql(query_of(asked, f"mart.{marts[chart['dataset_uuid']]}")).fetchall():
            without_rows.append(name)
        params = chart["params"]
        shown = params.get("all_columns") or [params["x_axis"], *params["groupby"]], params.get("metrics", [])
        if shown != ([*map(expression, asked["columns"])], asked["metrics"]):
            otherwise_shown.append(name)

    assert ([], []) == (without_rows, otherwise_shown)


def query_of(asked: Yaml, mart: str) -> str:
    """What Superset makes of a query of a chart."""
    columns, metrics = ([*map(expression, asked[kind])] for kind in ("columns", "metrics"))
    order = ", ".join(f"{expression(term)} {'ASC' if up else 'DESC'}" for term, up in asked["orderby"])
    grouped = f"GROUP BY {', '.join(columns)}" if metrics else ""
    return f"SELECT {', '.join([*columns, *metrics])} FROM {mart} {grouped} ORDER BY {order}"  # noqa: S608


def expression(term: Any) -> str:  # noqa: ANN401 -- a name, or what Superset makes of an expression
    """The SQL of what a chart asks for."""
    return str(term if isinstance(term, str) else term["sqlExpression"])


def test_parts_of_superset_belong_together() -> None:
    """The dashboard shows all charts, which are of the datasets; the database is one that is only read."""
    (database,) = map(read, (SUPERSET / "databases").glob("*.yaml"))
    (dashboard,) = map(read, (SUPERSET / "dashboards").glob("*.yaml"))
    charts, datasets = [*map(read, CHARTS.values())], [*map(read, DATASETS.values())]
    shown = {each["meta"]["uuid"] for name, each in dashboard["position"].items() if name.startswith("CHART")}

    assert {database["uuid"]} == {each["database_uuid"] for each in datasets}
    assert {each["uuid"] for each in datasets} == {each["dataset_uuid"] for each in charts}
    assert {each["uuid"] for each in charts} == shown
    assert "duckdb:////srv/warehouse/bi.duckdb?access_mode=read_only" == database["sqlalchemy_uri"]


def test_page_of_evidence_is_answered(published: duckdb.DuckDBPyConnection) -> None:
    """Its sources are, and over these the queries of the page, which have the columns that it shows."""
    with duckdb.connect() as site:
        site.execute("CREATE SCHEMA sightglass")
        for name, path in SOURCES.items():
            site.register("rows", published.sql(path.read_text(encoding="utf-8")).to_arrow_table())
            site.execute(f"CREATE TABLE sightglass.{name} AS FROM rows")
        answers = {name: site.sql(query) for name, query in ON_PAGE.items()}
        columns = {name: answer.columns for name, answer in answers.items()}
        without_rows = [name for name, answer in answers.items() if not answer.fetchall()]

    assert set(ON_PAGE) == set(SHOWN)
    assert [] == without_rows
    assert {name: set() for name in SHOWN} == {
        name: {*each} - {*columns[name]} for name, each in SHOWN.items()
    }
    assert set(SOURCES) == set(re.findall(r"\bsightglass\.(\w+)", "".join(ON_PAGE.values())))


def defect_rates() -> dict[str, str]:
    """Whatever here asks in which share of the media, of all cameras, a subject is seen."""
    (panel,) = (each for each in GRAFANA["panels"] if each["title"] == "Defect rate")
    (question,) = re.findall(
        r"^### What is the defect rate.*?```sql\n(.*?)```", COOKBOOK, re.MULTILINE | re.DOTALL
    )
    example = re.sub(r"\{\{ source\('(\w+)', '(\w+)'\) \}\}", r"\1.\2", EXAMPLE.read_text(encoding="utf-8"))
    return {
        "evidence": SOURCES["defect_rate"].read_text(encoding="utf-8"),
        "grafana": panel["targets"][0]["rawSql"].replace("$__timeFilter(time)", "TRUE"),
        "dbt": example.replace("{{ var('defect_rate_target') }}", "0.02"),
        "cookbook": question,
    }


def test_defect_rates_count_the_media_of_every_camera() -> None:
    """Also of one in whose media a subject was never asserted, and a day on which only that took any."""
    asked = {
        "evidence": "subject_name, day, inspected, defective, defect_rate",
        "grafana": "metric, CAST(time AS DATE), value",
        "dbt": "subject_uid, day, inspected, defective, defect_rate, is_above_target",
        "cookbook": "subject_name, defective, inspected, percent",
    }
    with empty() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in ("scratch", "ok"):
            connection.execute(
                "INSERT INTO cogniac.subjects BY NAME SELECT $name AS subject_uid, $name AS name",
                {"name": name},
            )
        connection.execute(CAMERAS)
        rows = {}
        for name, query in defect_rates().items():
            connection.sql(query).create_view("answer", replace=True)
            rows[name] = connection.sql(f"SELECT {asked[name]} FROM answer ORDER BY ALL").fetchall()  # noqa: S608

    first, second = date(2026, 7, 1), date(2026, 7, 2)
    days = [("ok", first, 19, 9), ("ok", second, 1, 1), ("scratch", first, 19, 5), ("scratch", second, 1, 0)]
    rates = [(*each, each[3] / each[2]) for each in days]
    assert {
        "evidence": rates,
        "grafana": [(subject, day, rate) for subject, day, _, _, rate in rates],
        "dbt": [(*each, each[-1] > 0) for each in rates],
        "cookbook": [("ok", 10, 20, 50.0), ("scratch", 5, 20, 25.0)],
    } == rows

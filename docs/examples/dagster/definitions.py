"""Sightglass in Dagster: one run loads all that is new, and each table that it fills is an asset.

`dagster dev -f definitions.py` shows it. Settings are those of the command: SIGHTGLASS_HOME, COG_API_KEY and
others, from the environment or from ./sightglass.toml.
"""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

import sightglass

TABLES = {
    "cogniac.applications": "applications",
    "cogniac.subjects": "subjects",
    "cogniac.results": "detections",
    "cogniac.detections": "detections",
    "cogniac.detection_boxes": "detections",
    "cogniac.media": "detections",
    "neurons.media": "media",
    "neurons.media_metrics": "media",
    "neurons.assets": "assets",
    "neurons.frame_metrics": "assets",
}
"""Tables, and the stream of their source that fills each."""
CHECKED = ("cogniac.applications", "cogniac.subjects", "cogniac.results", "neurons.media", "neurons.assets")
"""One table of each stream: what the stream lacks is shown there."""
LATE = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=30), fail_window=timedelta(hours=2))
BUSY_RETRIES = 5
"""How often a run that found the warehouse held by another one is tried again."""
BUSY_SECONDS = 60

Loaded = Iterator[dg.MaterializeResult | dg.AssetCheckResult]


def asset_key(table: str) -> dg.AssetKey:
    """Return `cogniac/results` for `cogniac.results`."""
    return dg.AssetKey(table.split("."))


# Skippable: a source without credentials is left out, and a stream that failed brings nothing new.
SPECS = [
    dg.AssetSpec(
        asset_key(table), group_name="sightglass", kinds={"duckdb"}, freshness_policy=LATE, skippable=True
    )
    for table in TABLES
]
CHECKS = [
    dg.AssetCheckSpec(name, asset=asset_key(table))
    for table in CHECKED
    for name in ("nothing_is_missing", "nothing_is_refused")
]


@dg.multi_asset(specs=SPECS, check_specs=CHECKS, pool="sightglass")
def load(context: dg.AssetExecutionContext) -> Loaded:
    """Load what is new; it fails where `sightglass run` would leave with another exit code than 0."""
    try:
        report = sightglass.run()
    except sightglass.BusyError as busy:
        raise dg.RetryRequested(max_retries=BUSY_RETRIES, seconds_to_wait=BUSY_SECONDS) from busy
    context.log.info("run %s %s: %s", report.run_id, report.status, report.published)
    if report.published:
        with sightglass.open() as warehouse:
            yield from materialized(report, report.published, warehouse)
            yield from checked(warehouse)
    # Last, so that what was loaded is known even where something else failed.
    if not report.ok:
        told = {"run_id": report.run_id, "exit_code": report.exit_code}
        raise dg.Failure("\n".join(report.problems), metadata=told, allow_retries=False)


def materialized(
    report: sightglass.RunReport, published: sightglass.Published, warehouse: sightglass.Warehouse
) -> Iterator[dg.MaterializeResult]:
    """Yield the tables that are up to date: all parts of their stream were read well, or none was due."""
    for table, stream in TABLES.items():
        of_source = [each for each in report.streams if each.source == table.partition(".")[0]]
        parts = [each for each in of_source if each.stream == stream]
        if not of_source or any(each.error for each in parts or of_source):
            continue
        ((rows,),) = warehouse.sql(f"SELECT count(*) FROM {table}")
        columns = warehouse.tables[table].columns.values()
        schema = dg.TableSchema([dg.TableColumn(each.name, each.type, each.doc) for each in columns])
        cursors = [str(each.cursor) for each in parts if each.cursor is not None]
        metadata = {
            "dagster/row_count": rows,
            "dagster/column_schema": schema,
            "run_id": report.run_id,
            "published_at": dg.MetadataValue.timestamp(published.since),
            "cursor": max(cursors, default=None),
            # Records of the stream, of which each may bring several rows.
            "inserted": sum(each.inserted for each in parts),
            "updated": sum(each.updated for each in parts),
            "quarantined": sum(each.quarantined for each in parts),
        }
        yield dg.MaterializeResult(asset_key(table), metadata=metadata)


def checked(warehouse: sightglass.Warehouse) -> Iterator[dg.AssetCheckResult]:
    """Yield for each stream whether something of it is missing, or refused."""
    for table in CHECKED:
        source, stream = table.partition(".")[0], TABLES[table]
        for name, severity, condition in (
            ("nothing_is_missing", dg.AssetCheckSeverity.WARN, "etl.gaps WHERE true"),
            ("nothing_is_refused", dg.AssetCheckSeverity.ERROR, "etl.quarantine WHERE state = 'open'"),
        ):
            among = f"FROM {condition} AND source = '{source}' AND stream = '{stream}'"
            ((found,),) = warehouse.sql(f"SELECT count(*) {among}")
            yield dg.AssetCheckResult(
                check_name=name,
                asset_key=asset_key(table),
                passed=found == 0,
                severity=severity,
                metadata={"rows": found, "shown by": f'sightglass sql "{among}"'},
            )


@dg.asset(deps=[asset_key("cogniac.results"), asset_key("cogniac.detections")], group_name="sightglass")
def defect_rate() -> dg.MaterializeResult:
    """Show the newest defect rates, as an example of what is made of the tables further on."""
    with sightglass.open() as warehouse:
        days = warehouse.sql("FROM mart.defect_rate_daily ORDER BY day DESC LIMIT 10").polars()
    return dg.MaterializeResult(metadata={"newest": str(days)})


load_all = dg.define_asset_job("load_all", selection=dg.AssetSelection.all())
every_ten_minutes = dg.ScheduleDefinition(
    name="every_ten_minutes", job=load_all, cron_schedule="*/10 * * * *"
)
defs = dg.Definitions(assets=[load, defect_rate], jobs=[load_all], schedules=[every_ten_minutes])

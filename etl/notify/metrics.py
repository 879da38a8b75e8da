"""A file for the textfile collector of Prometheus' node exporter: how the run went, and how fresh all is."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from etl import __version__, schema
from etl.config import Settings
from etl.errors import ConfigError, SightglassError
from etl.files import reason, remedy
from etl.load.warehouse import umask
from etl.notify import NotTold, Outcome
from etl.publish.bi import open_bi

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

NAMES = {
    "stream": ("source", "stream", "partition"),
    "source": ("source",),
    "run": (),
}
"""What is told of what is published, one query each, by which labels."""
DOCS = {
    "last_success_timestamp_seconds": "When it last went well.",
    "newest_record_timestamp_seconds": "Newest time in the data that is loaded with all before it.",
    "quarantine_open": "Records and files refused and not dealt with.",
    "gaps": "Things known to be missing.",
}
RUN = "sightglass_run_"
LAST_STREAM = "sightglass_last_run_stream_"


HELP = b"# HELP "
"""How a file of metrics begins."""


def check_metrics(settings: Settings) -> None:
    """ConfigError where metrics are asked for, and what makes them is not installed, or no file is named."""
    if settings.metrics_file:
        _place(settings)
        try:
            import prometheus_client  # noqa: F401, PLC0415 -- an extra
        except ImportError as error:
            raise ConfigError(
                f"SIGHTGLASS_METRICS_FILE needs {error.name or error}: pip install 'sightglass-etl[metrics]'"
            ) from error


def write_metrics(settings: Settings, outcome: Outcome) -> None:
    """Write the file anew, and bring it in by rename; NotTold where it cannot be."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- an extra

    registry = CollectorRegistry()
    _add_run(registry, outcome)
    _add_streams(registry, outcome.report.get("streams", ()))
    try:
        for name, columns, rows in _published(settings):
            _add_rows(registry, name, columns, rows)
    except (SightglassError, duckdb.Error) as error:
        _gauge(registry, "sightglass_readable", "Whether what is published could be read.").set(0)
        raise NotTold(f"the metrics lack what is published: {error}") from error
    finally:
        _write(_place(settings), generate_latest(registry))


def _add_run(registry: "CollectorRegistry", outcome: Outcome) -> None:
    """Tell how the run ended, and where its time went."""
    about = {
        "last_end_timestamp_seconds": ("When the last run ended.", outcome.ended.timestamp()),
        "last_duration_seconds": ("How long it took.", outcome.seconds),
        "last_exit_code": ("Its exit code.", outcome.exit_code),
        "last_newly_quarantined": (
            "Records and files that it refused first.",
            outcome.report.get("newly_quarantined", 0),
        ),
    }
    for name, (doc, value) in about.items():
        _gauge(registry, f"{RUN}{name}", doc).set(value)
    stages = _gauge(registry, f"{RUN}last_stage_seconds", "Seconds that a stage was at work.", ("stage",))
    for stage, seconds in outcome.report.get("seconds", {}).items():
        stages.labels(stage).set(seconds)
    _gauge(registry, "sightglass_build_info", "The version.", ("version",)).labels(__version__).set(1)


def _add_streams(registry: "CollectorRegistry", streams: Iterable[Mapping[str, Any]]) -> None:
    """Tell what the last run did with each stream that it read: whether it failed, and each count."""
    labels = NAMES["stream"]
    gauges: dict[str, Any] = {}
    for each in streams:
        counts = {name: value for name, value in each.items() if isinstance(value, int)}
        for name, value in {"failed": each["status"] == "failed", **counts}.items():
            if name not in gauges:
                gauges[name] = _gauge(registry, f"{LAST_STREAM}{name}", f"In the last run: {name}.", labels)
            gauges[name].labels(*(each[label] for label in labels)).set(value)


def _published(settings: Settings) -> Iterable[tuple[str, list[str], list[tuple[Any, ...]]]]:
    """Yield what is published of the stream, the source and the run, with the names of the columns."""
    with open_bi(settings) as connection:
        for name in NAMES:
            found = connection.execute(schema.statement(f"notify/{name}_metrics"))
            yield name, [column for column, *_ in found.description or ()], found.fetchall()


def _add_rows(
    registry: "CollectorRegistry", name: str, columns: list[str], rows: list[tuple[Any, ...]]
) -> None:
    """Tell what the rows hold: labels, then a value for each gauge, or NULL where there is none."""
    labels = NAMES[name]
    for place, column in enumerate(columns[len(labels) :], start=len(labels)):
        gauge = _gauge(registry, f"sightglass_{name}_{column}", DOCS[column], labels)
        for row in rows:
            if row[place] is not None:
                (gauge.labels(*row[: len(labels)]) if labels else gauge).set(row[place])


def _gauge(registry: "CollectorRegistry", name: str, doc: str, labels: Iterable[str] = ()) -> Any:  # noqa: ANN401
    """Return a gauge; its type is known only where the extra is installed."""
    from prometheus_client import Gauge  # noqa: PLC0415 -- an extra

    return Gauge(name, doc, tuple(labels), registry=registry)


def _place(settings: Settings) -> Path:
    """Return the file; ConfigError for one in the folder of a user whom nobody knows."""
    try:
        return Path(settings.metrics_file).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"SIGHTGLASS_METRICS_FILE names no file: {error}") from error


def _write(path: Path, content: bytes) -> None:
    """Let the file hold this at one moment; NotTold where something stands there that is none of ours."""
    if not _is_ours(path):
        raise NotTold(f"SIGHTGLASS_METRICS_FILE: {path} holds no metrics; name another file, or remove it")
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        try:
            aside.write_bytes(content)
            aside.chmod(0o666 & ~umask())  # the node exporter is another user
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise NotTold(f"cannot write SIGHTGLASS_METRICS_FILE: {reason(error)}; {remedy(error)}") from error


def _is_ours(path: Path) -> bool:
    """Whether it is a file of metrics, an empty one or none: neither a device nor anything of value."""
    try:
        if not path.exists():
            return True
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(HELP)) in (HELP, b"")
    except OSError as error:
        raise NotTold(f"cannot read SIGHTGLASS_METRICS_FILE: {reason(error)}; {remedy(error)}") from error

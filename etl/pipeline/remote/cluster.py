"""Spark, or what speaks as it does, has both steps done: the calls of PySpark, and what fails in them."""

import re
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from etl import __version__
from etl.errors import ConfigError, EnvironmentFaultError, SightglassError
from etl.pipeline.remote.flatten import flatten_parts
from etl.pipeline.remote.job import Engine
from etl.pipeline.remote.load import load_bucket
from etl.pipeline.remote.task import STAGED, TOLD, said

PORT = 15002
TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 -- the name of the variable
"""The variable that the client takes a token from."""
CONNECT = 10
"""Seconds until somebody must answer."""
SECONDS_OF_RETRIES = 60
"""About how long an engine that was lost is waited for."""
PARTS_AT_ONCE = 4
"""Parts that one worker makes rows of after another at most, before others may take some."""
MOST_TASKS = 2_000
LONGEST = 200
"""Characters of what an engine says that are shown."""
KEY = ("task", "source", "bucket")
MISSING = re.compile(r"No module named '(etl|duckdb|polars|pyarrow|msgspec|xxhash)[.\w]*'")
DETAILS = re.compile(r'^\s*details = "([^"\n]+)"', re.MULTILINE)
"""Where gRPC says what went wrong."""
WORDS = {
    pa.string(): "string",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.binary(): "binary",
}


@contextmanager
def cluster(address: str) -> Iterator[Engine]:
    """Provide what has both steps done by the engine under an address, `sc://HOST[:PORT]`.

    Raises ConfigError where it is no such address, or the extra is missing, and EnvironmentFaultError where
    nobody answers, or what is asked cannot be done.
    """
    host, port = _named(address)
    make = _client()
    try:
        # The client itself would try for minutes.
        socket.create_connection((host, port), CONNECT).close()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise EnvironmentFaultError(
            f"no Spark Connect answers at {host}:{port}: {why}; start one, mend --remote"
        ) from error
    with cluster_errors(f"{host}:{port}"):
        session = make(address)
    try:
        yield lambda parts: _answers(session, parts, f"{host}:{port}")
    finally:
        with suppress(Exception), _quiet():
            # One that is gone needs not be waited for once more.
            session.client.set_retry_policies([])
            session.stop()


def _named(address: str) -> tuple[str, int]:
    """Return host and port of an address."""
    if "token=" in address.lower():
        raise ConfigError(f"--remote holds a token, which any list of processes shows: set {TOKEN}")
    with suppress(ValueError):
        found = urlsplit(address)
        if found.scheme == "sc" and found.hostname and not found.username:
            return found.hostname, found.port or PORT
    _, login, host = address.rpartition("@")
    raise ConfigError(
        "--remote names no Spark Connect server, which is sc://HOST[:PORT]: "
        + (f"a login, which is not shown, and @{host}" if login else address)
    )


def _client() -> Callable[[str], Any]:
    """Return what begins a session; ConfigError where the extra is missing."""
    try:
        # It would rather have an older pandas, of which nothing is used here.
        with _quiet():
            from pyspark.sql import SparkSession  # noqa: PLC0415 -- an extra
            from pyspark.sql.connect.client.retries import DefaultPolicy  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"a rebuild on a cluster needs {error.name or error}: pip install 'sightglass-etl[spark]'"
        ) from error

    def begin(address: str) -> Any:  # noqa: ANN401 -- an extra ships the type
        session = SparkSession.builder.remote(address).create()
        retries = DefaultPolicy(max_retries=SECONDS_OF_RETRIES // 10, max_backoff=10_000)
        session.client.set_retry_policies([retries])
        return session

    return begin


def _answers(session: Any, parts: pa.Table, where: str) -> list[str]:  # noqa: ANN401 -- an extra ships the type
    """Have both steps done, and return what is told of each bucket."""
    tasks = max(1, min(MOST_TASKS, -(-parts.num_rows // PARTS_AT_ONCE)))
    with cluster_errors(where):
        for name, value in {
            # Joined because they are small, buckets would wait for one worker.
            "spark.sql.adaptive.coalescePartitions.enabled": "false",
            "spark.sql.execution.arrow.maxRecordsPerBatch": str(PARTS_AT_ONCE),
        }.items():
            with suppress(Exception):
                session.conf.set(name, value)
        staged = session.createDataFrame(parts).repartition(tasks).mapInArrow(flatten_parts, _ddl(STAGED))
        found = staged.groupBy(*KEY).applyInArrow(load_bucket, _ddl(TOLD)).toArrow()
        return [str(each) for each in found["told"].to_pylist()]


def _ddl(schema: pa.Schema) -> str:
    return ", ".join(f"`{field.name}` {WORDS[field.type]}" for field in schema)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the client warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def cluster_errors(where: str) -> Iterator[None]:
    """Say in one line what went wrong, whatever the engine says."""
    try:
        with _quiet():
            yield
    except SightglassError:
        raise
    except Exception as error:  # those of the client, of gRPC and of each engine have nothing in common
        text = f"{error} {getattr(error, 'details', '')}".strip() or type(error).__name__
        raise said(text) or _failed(text, where) from error


def _failed(text: str, where: str) -> SightglassError:
    """Return the error for what no worker of ours has said."""
    if found := MISSING.search(text):
        python = ".".join(map(str, sys.version_info[:2]))
        return EnvironmentFaultError(
            f"the workers of {where} have no {found[1]}: install sightglass-etl {__version__} there, for "
            f"Python {python}"
        )
    if found := DETAILS.search(text):
        return EnvironmentFaultError(f"the cluster at {where} failed: {found[1][:LONGEST]}")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # The last line of a traceback says what it was.
    told = next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)), lines[0])
    return EnvironmentFaultError(f"the cluster at {where} failed: {told[:LONGEST]}")

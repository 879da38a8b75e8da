"""What tests of a rebuild on a cluster share: the cluster, and what it makes and one machine does."""

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any

import duckdb
import msgspec
from conftest import ROOT, Sightglass, as_read

from etl import schema
from support.kills import started

PACKAGES = Path(os.environ.get("TEST_SPARK", Path(sys.prefix, "spark")))
"""Sail and the client, which `make setup` installs in a folder of their own."""
PYTHONPATH = os.pathsep.join([str(ROOT), str(PACKAGES)])
TWO_WORKERS = {
    "SAIL_MODE": "local-cluster",
    "SAIL_CLUSTER__WORKER_INITIAL_COUNT": "2",
    "SAIL_CLUSTER__WORKER_MAX_COUNT": "2",
}
SERVE = """
import time
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
print(server.listening_address[1], flush=True)
time.sleep(10**6)
"""
COMPARED = [table for name in schema.names() for table in schema.source(name).tables.values()] + [
    schema.source("etl").tables["quarantine"]
]
SHOWN = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {} ORDER BY ALL"
HERE = """
from contextlib import contextmanager
from etl.pipeline.remote import cluster, job
@contextmanager
def here(address):
    yield job.here
cluster.cluster = here
from etl import cli
cli.main()
"""
"""The command, which does the work of the cluster itself."""
KILLED = f"""
import os, signal
from etl.pipeline.remote import job
job._complete = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
{HERE}"""
"""The same, which dies when all is there and nobody knows it."""
DIES = """
import os, signal
from etl.pipeline.remote import load
load._Bucket.load = lambda _: os.kill(os.getpid(), signal.SIGKILL)
"""
"""A cluster that dies when the first bucket is to be loaded."""
SPARK = os.environ.get("SPARK_HOME") if shutil.which("java") else None
"""Where Spark itself is, if it is."""
SPARK_CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"

Dump = dict[str, list[tuple[Any, ...]]]


@contextmanager
def sail(log: Path, python_path: str = PYTHONPATH, first: str = "") -> Iterator[str]:
    """Serve Spark Connect by Sail with two workers, which find packages there; its address.

    `first` is code that its process begins with.
    """
    environment = {**os.environ, **TWO_WORKERS, "PYTHONPATH": python_path, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-P", "-c", first + SERVE]
    with (
        log.open("w") as told,
        Popen(command, env=environment, stdout=PIPE, stderr=told, encoding="utf-8") as process,
    ):
        try:
            assert process.stdout is not None
            yield f"sc://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@contextmanager
def spark(folder: Path) -> Iterator[str]:
    """Serve Spark Connect by a local cluster of two workers, each a process of its own; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    confs = {"spark.connect.grpc.binding.port": str(port), "spark.pyspark.python": sys.executable}
    options = [part for name, value in confs.items() for part in ("--conf", f"{name}={value}")]
    submit = [f"{SPARK}/bin/spark-submit", "--master", "local-cluster[2,1,1024]", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SPARK_LOCAL_DIRS": str(folder)}
    command = [*submit, "--class", SPARK_CONNECT, "spark-internal"]
    with (
        (folder / "spark.log").open("w") as log,
        Popen(
            command, env=environment, stdout=PIPE, stderr=STDOUT, encoding="utf-8", start_new_session=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert any("Spark Connect server started" in line for line in process.stdout)
            threading.Thread(target=shutil.copyfileobj, args=(process.stdout, log), daemon=True).start()
            yield f"sc://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def asked(folder: Path) -> Sightglass:
    """The command without any setting, in an environment that has the client of Spark Connect."""
    return Sightglass(folder, {"PYTHONPATH": PYTHONPATH})


def of_warehouse(home: Path) -> Dump:
    """All rows of all tables of the sources as readers see them, and of the quarantine."""
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        return _shown(connection, {table.qualified: as_read(table.qualified) for table in COMPARED})


def complete(out: Path) -> Any:  # noqa: ANN401 -- any JSON
    """What is said of the rebuild that is complete."""
    return msgspec.json.decode((out / "complete.json").read_bytes())


def of_files(out: Path) -> Dump:
    """The same of the Parquet files that a rebuild on a cluster has made."""
    folder = out / complete(out)["folder"]
    with duckdb.connect() as connection:
        return _shown(
            connection,
            {
                table.qualified: f"read_parquet('{folder}/{table.schema}/{table.name}/*.parquet')"
                for table in COMPARED
            },
        )


def _shown(connection: duckdb.DuckDBPyConnection, relations: Mapping[str, str]) -> Dump:
    connection.execute("SET TimeZone = 'UTC'")
    return {name: connection.execute(SHOWN.format(each)).fetchall() for name, each in relations.items()}


def differing(left: Dump, right: Dump) -> dict[str, Any]:
    """The tables that are not alike, with rows that only one has."""
    return {
        name: (
            sorted({*left[name]} - {*right[name]}, key=str)[:2],
            sorted({*right[name]} - {*left[name]}, key=str)[:2],
        )
        for name in left
        if left[name] != right[name]
    }


def said_by(sightglass: Sightglass, program: str, *arguments: str) -> tuple[int, str]:
    """The exit code and standard error of a rebuild by this program."""
    with started(sightglass, program, "rebuild", "--remote", *arguments) as process:
        _, said = process.communicate(timeout=100)
    return process.returncode, said

"""Read the files of a table as other engines do: started by a test, in an environment of its own.

The arguments are the name of an engine, a folder of a warehouse, and `resolved` or `through`: whether the
link `lake` is followed once before each read, or left to the engine. A line "ready" follows the first read;
once standard input ends, so does reading, with a JSON object as the last line: the `version` of the engine,
how many reads there were (`reads`), of how many `versions` of the rows, what ended in an error (`errors`),
and what was read that no version holds (`wrong`).
"""

import json
import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Seen = tuple[int, int, int]
"""How many rows there are, and the smallest and largest value of what each publish raises in all of them."""
Read = Callable[[Path], Seen]
SHOWN = 500
"""Characters of an error that are told."""


def datafusion() -> tuple[str, Read]:
    """DataFusion, with a context that stays."""
    import datafusion as engine  # noqa: PLC0415 -- only one of them is imported

    context = engine.SessionContext()

    def read(folder: Path) -> Seen:
        context.deregister_table("a")
        context.register_parquet("a", str(folder))
        row = context.sql("SELECT count(*) AS n, min(value) AS a, max(value) AS b FROM a").to_pydict()
        return row["n"][0], row["a"][0], row["b"][0]

    return engine.__version__, read


def chdb() -> tuple[str, Read]:
    """ClickHouse in this process, with a session that stays."""
    from chdb import __version__  # noqa: PLC0415 -- only one of them is imported
    from chdb.session import Session  # noqa: PLC0415 -- only one of them is imported

    session = Session()

    def read(folder: Path) -> Seen:
        query = f"SELECT count(), min(value), max(value) FROM file('{folder}/*.parquet')"  # noqa: S608 -- ours
        count, least, most = map(int, str(session.query(query, "CSV")).strip().split(","))
        return count, least, most

    return __version__, read


def daft() -> tuple[str, Read]:
    """Daft."""
    import daft as engine  # noqa: PLC0415 -- only one of them is imported

    def read(folder: Path) -> Seen:
        value = engine.col("value")
        found = engine.read_parquet(f"{folder}/*.parquet").agg(
            value.count().alias("n"), value.min().alias("a"), value.max().alias("b")
        )
        row = found.to_pydict()
        return row["n"][0], row["a"][0], row["b"][0]

    return engine.__version__, read


def _by_spark(spark: Any) -> Read:  # noqa: ANN401 -- pyspark's own
    def read(folder: Path) -> Seen:
        row = spark.read.parquet(str(folder)).selectExpr("count(*)", "min(value)", "max(value)").first()
        return row[0], row[1], row[2]

    return read


def spark() -> tuple[str, Read]:
    """Spark, with a session that stays; it needs Java."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 -- only one of them is imported

    options = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1"}
    builder = SparkSession.builder.master("local[2]").config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.driver.host", "127.0.0.1").config(map=options)
    session = builder.getOrCreate()
    return session.version, _by_spark(session)


def sail() -> tuple[str, Read]:
    """Sail, which speaks Spark Connect."""
    from pysail import __version__  # noqa: PLC0415 -- only one of them is imported
    from pysail.spark import SparkConnectServer  # noqa: PLC0415 -- only one of them is imported
    from pyspark.sql import SparkSession  # noqa: PLC0415 -- only one of them is imported

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    read = _by_spark(SparkSession.builder.remote(f"sc://{host}:{port}").create())

    def served(folder: Path) -> Seen:
        assert server.running  # it ends where nothing holds it
        return read(folder)

    return __version__, served


ENGINES = {each.__name__: each for each in (datafusion, chdb, daft, spark, sail)}


def main(engine: str, home: Path, way: str, rows: int) -> None:
    """Read until standard input ends, and once more."""
    version, read = ENGINES[engine]()
    told = threading.Thread(target=sys.stdin.read, daemon=True)
    told.start()
    found, errors, wrong, reads, last = set[int](), list[str](), list[Seen](), 0, False
    while not last:
        last, reads = not told.is_alive(), reads + 1
        lake = home / "lake"
        try:
            seen = read((lake.resolve() if way == "resolved" else lake) / "small" / "a")
        except Exception as error:  # noqa: BLE001 -- whatever it is, a reader has met it
            errors.append(f"{type(error).__name__}: {error}"[:SHOWN])
        else:
            found.add(seen[1])
            if seen != (rows, seen[1], seen[1]):
                wrong.append(seen)
        if reads == 1:
            say("ready")
    said = {"version": version, "reads": reads, "versions": len(found), "errors": errors, "wrong": wrong}
    say(json.dumps(said))


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # The client of Spark wants an older pandas, of which nothing is used here.
    warnings.simplefilter("ignore", FutureWarning)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    os._exit(0)  # the servers and threads of some end late, or never

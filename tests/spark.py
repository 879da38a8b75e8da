"""Answer views as Spark would: started by a test, in an environment of its own, with Sail as the server.

Each line of standard input is a job, a JSON object: `tables` (name to folder of files in `format`), the
`statements` that make the views, `zones`, `views` to answer, `folder`, into which each answer is written as
`<number of the zone>.<view>.parquet`. Each job has a session of its own, and one line of standard output: a
JSON text, empty where all went well.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

# The client wants an older pandas, of which nothing is used here.
warnings.simplefilter("ignore", FutureWarning)

from pysail.spark import SparkConnectServer  # noqa: E402 -- after the warnings
from pyspark.sql import SparkSession  # noqa: E402


def do(spark: Any, job: dict[str, Any]) -> None:  # noqa: ANN401 -- pyspark's own
    """Make the tables, then in each time zone the views, and write what they answer."""
    for name in sorted({name.partition(".")[0] for name in job["tables"]}):
        spark.sql(f"CREATE SCHEMA {name}")
    for name, folder in job["tables"].items():
        spark.sql(f"CREATE TABLE {name} USING {job['format']} LOCATION '{folder}'")
    for number, zone in enumerate(job["zones"]):
        spark.conf.set("spark.sql.session.timeZone", zone)
        # Anew: a view could keep the zone in which it was made.
        for statement in job["statements"]:
            spark.sql(statement)
        for name in job["views"]:
            pq.write_table(spark.table(name).toArrow(), Path(job["folder"]) / f"{number}.{name}.parquet")


def main() -> None:
    """Do one job after the other until standard input ends."""
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    for line in sys.stdin:
        spark = SparkSession.builder.remote(f"sc://{host}:{port}").create()
        try:
            do(spark, json.loads(line))
            said = ""
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test shows it
            said = f"{type(error).__name__}: {error}"
        finally:
            spark.stop()
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    server.stop()


if __name__ == "__main__":
    main()

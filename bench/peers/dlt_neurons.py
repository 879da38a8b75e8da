"""dlt loads served media and their JSON files into DuckDB: `python -m bench.peers.dlt_neurons URL FOLDER`.

Written as a user of dlt would: a resource lists the media, a transformer fetches their files, brings each to
one row per frame, and leaves lists inside the rows to dlt, which makes child tables of them.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers import requests

Row = dict[str, Any]
FRAMES = {
    "metrics": "frame_metrics",
    "frt_frame_metrics": "frt_frame_metrics",
    "brand_detection": "brand_frames",
}
LIMIT = 100


def unwrapped(body: Any) -> Any:  # noqa: ANN401 -- the files come in several shapes
    """Return what a file holds, whether it is bare or below one of the names that wrap it."""
    if isinstance(body, dict):
        for name in ("frames", "metrics", "brand_detection"):
            if isinstance(body.get(name), dict | list) and not all(
                isinstance(v, list) for v in body.values()
            ):
                return body[name]
    return body


def rows_of(body: Any) -> Iterator[Row]:  # noqa: ANN401 -- the files come in several shapes
    """One row for each frame: of rows as they are, of columns, or of an object keyed by frame."""
    found = unwrapped(body)
    if isinstance(found, list):
        for number, row in enumerate(found, start=1):
            yield {"frame": number, **row}
    elif all(key.isdigit() for key in found):
        for key, value in found.items():
            yield {"frame": int(key), **(value if isinstance(value, dict) else {"detections": value})}
    else:
        for number, values in enumerate(zip(*found.values(), strict=True), start=1):
            yield {"frame": number, **dict(zip(found, values, strict=True))}


def media(url: str) -> Iterator[list[Row]]:
    """Yield the list of media, page by page."""
    offset = 0
    while page := requests.get(f"{url}predict/v2/media", params={"limit": LIMIT, "offset": offset}).json()[
        "media"
    ]:
        yield page
        offset += len(page)


def frames(page: list[Row], asset: str) -> Iterator[list[Row]]:
    """Yield the frames of one kind of file of each medium."""
    for medium in page:
        if asset in medium["results"]:
            body = requests.get(medium["results"][asset]).json()
            yield [{"media_id": medium["media_id"], **row} for row in rows_of(body)]


def main(url: str, folder: Path) -> None:
    """Load everything, and say how many rows there are."""
    pipeline = dlt.pipeline(
        "neurons",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "dlt.duckdb")),
        dataset_name="neurons",
    )
    listed = dlt.resource(media, name="media", primary_key="media_id", write_disposition="merge")(url)
    files = [
        listed
        | dlt.transformer(
            frames,
            name=table,
            primary_key=["media_id", "frame"],
            write_disposition="merge",
            parallelized=True,
        )(asset)
        for asset, table in FRAMES.items()
    ]
    pipeline.run([listed, *files], loader_file_format="parquet")
    with pipeline.sql_client() as client:
        counts = {
            table: next(iter(client.execute_sql(f"SELECT count(*) FROM {table}") or []))[0]
            for table in ("media", *FRAMES.values())
        }
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

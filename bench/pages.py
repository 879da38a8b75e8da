"""Generated records as bytes, made before anything is measured: what the server hands out.

A corpus is a folder: `tenant.json` holds applications and subjects; of each application `<id>.records` holds
the records, oldest change first, with a comma after each, and `<id>.index` the time of each (microseconds
since 1970) and where it begins. `python -m bench.pages FOLDER RECORDS ...` makes one.
"""

import argparse
import json
from array import array
from bisect import bisect_right
from pathlib import Path
from unittest import mock

import msgspec

from etl.demo import timeline
from etl.demo.cogniac.data import CogniacData, CogniacSize

SEED = 7
TENANT = "63QhzFLc9tg4"


def make(folder: Path, records: int, applications: int, days: int, changes: int) -> None:
    """Render a corpus, and a second one beside it in which so many records have changed since."""
    with mock.patch.object(timeline, "SPAN", days * timeline.DAY):
        data = CogniacData(SEED, CogniacSize(applications=applications, records=records), TENANT)
    render(data, folder)
    if changes:
        _change(data, changes)
        render(data, folder.with_name(folder.name + "-changed"))


def _change(data: CogniacData, wanted: int) -> None:
    """Give so many different records a new version, all of them newer than everything before."""
    before = data.newest
    changed = 0
    while changed < wanted:
        data.advance(corrections=wanted - changed)
        ledgers = [data.ledger(each["application_id"]) for each in data.applications()]
        changed = sum(len(ledger) - bisect_right(ledger.times, before) for ledger in ledgers)


def render(data: CogniacData, folder: Path) -> None:
    """Write the corpus of all that the data holds; complete once `tenant.json` is there."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [{**each, "active": True} for each in data.applications()]
    sizes = {each["application_id"]: _write(data, each["application_id"], folder) for each in shown}
    tenant = {
        "tenant_id": TENANT,
        "applications": shown,
        "subjects": data.subjects(),
        "records": sum(count for count, _, _ in sizes.values()),
        "detections": sum(said for _, said, _ in sizes.values()),
        "bytes": sum(size for _, _, size in sizes.values()),
    }
    (folder / "tenant.json").write_text(json.dumps(tenant))


def _write(data: CogniacData, application_id: str, folder: Path) -> tuple[int, int, int]:
    """How many records, detections and bytes were written."""
    index = array("q")
    said = 0
    with (folder / f"{application_id}.records").open("wb") as out:
        for record in data.truth(application_id):
            index.extend((round(record["updated_at"] * timeline.SECOND), out.tell()))
            said += len(record["detections"])
            out.write(msgspec.json.encode(record) + b",")
        size = out.tell()
    (folder / f"{application_id}.index").write_bytes(index.tobytes())
    return len(index) // 2, said, size


def main() -> None:
    """Make the corpus that the arguments ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name in ("records", "applications", "days", "changes"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    make(given.folder, given.records, given.applications, given.days, given.changes)


if __name__ == "__main__":
    main()

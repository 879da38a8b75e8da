"""Videos with a file of numbers for every frame: flattened and loaded, next to dlt."""

from collections.abc import Iterator
from functools import partial

from bench.lab import MB, SIGHTGLASS, Figure, Goal, Lab, neurons, said, serving
from bench.loads import DLT
from bench.measure import PYTHON, Cost

VIDEOS = 1000
FRAMES = 720


def videos(lab: Lab) -> Iterator[Figure]:
    """Whole runs of both over the same files; ours reads the CSV files too, and keeps all of them."""
    count = lab.size(VIDEOS, 10)
    folder = lab.prepared(f"neurons-{count}-{FRAMES}", "bench.films", count, FRAMES, done="media.json")
    frames = count * FRAMES
    with serving(lab, "bench.film_server", folder, 0) as url:
        costs = lab.by_turns(
            frames, {"sightglass": partial(ours, lab, url, count), "dlt": partial(dlts, lab, url, count)}
        )
    own, other = costs["sightglass"], costs["dlt"]
    yield Figure(
        f"{count:,} videos of {FRAMES} frames ({(folder / 'files').stat().st_size / MB:,.0f} MB)",
        said(own, frames, "frames"),
        f"dlt {said(other, frames, 'frames')}",
        other.seconds / own.seconds,
        Goal(9),
    )


def ours(lab: Lab, url: str, count: int) -> Cost:
    """Return the cost of `sightglass run` into a new warehouse, publishing included."""
    cost = lab.cost([SIGHTGLASS, "run", "--json"], **neurons(url, lab.folder("home")))
    inserted = {each["stream"]: each["inserted"] for each in cost.told["streams"]}
    refused = sum(each["quarantined"] for each in cost.told["streams"])
    if inserted["media"] != count or refused or cost.told["status"] != "ok":
        raise RuntimeError(f"the run brought {inserted} of {count} media, and refused {refused}")
    return cost


def dlts(lab: Lab, url: str, count: int) -> Cost:
    """Return the cost of the same by dlt.

    Parquet loader files, merge by key, nested lists as child tables.
    """
    cost = lab.cost([PYTHON, "-m", "bench.peers.dlt_neurons", url, lab.folder("dlt")], **DLT)
    if (cost.told["media"], cost.told["frame_metrics"]) != (count, count * FRAMES):
        raise RuntimeError(f"dlt loaded {cost.told} of {count} videos")
    return cost

"""What it takes to start, and to find nothing new."""

from collections.abc import Iterator
from functools import partial

from bench.lab import MB, SIGHTGLASS, Figure, Goal, Lab, cogniac, serving
from bench.measure import PYTHON

TURNS = 7
RECORDS = 20_000


def starts(lab: Lab) -> Iterator[Figure]:
    """Yield runs that find nothing new, `--help`, and an interpreter that does nothing."""
    corpus = lab.corpus(lab.size(RECORDS), applications=1)
    with serving(lab, "bench.server", corpus.folder, 0) as url:
        settings = cogniac(url, lab.folder("home"))
        lab.cost([SIGHTGLASS, "run", "--json"], **settings)
        contenders = {
            "empty run": partial(lab.cost, [SIGHTGLASS, "run", "--json"], **settings),
            "sightglass --help": partial(lab.cost, [SIGHTGLASS, "--help"]),
            "python -c pass": partial(lab.cost, [PYTHON, "-c", "pass"]),
        }
        costs = lab.by_turns(0, contenders, TURNS)
    bare = f"python -c pass {costs['python -c pass'].seconds:.3f} s"
    for name, title, bound in [
        ("empty run", "run that finds nothing new, one application", 0.5),
        ("sightglass --help", "sightglass --help", 0.05),
    ]:
        cost = costs[name]
        yield Figure(
            title,
            f"{cost.seconds:.3f} s, {cost.peak / MB:,.0f} MB",
            bare,
            cost.seconds,
            Goal(bound, at_most=True, unit="s"),
        )

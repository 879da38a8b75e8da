"""For which times an API is asked again: all that runs have read, some of them, or those that differ."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from etl import schema
from etl.load.differences import Difference
from etl.load.stored import Stored
from etl.values import SECOND, micros

NEIGHBOURS_US = 60 * SECOND
"""Windows that are no further apart are read as one."""

Windows = dict[tuple[str, str], Sequence[tuple[int, int]]]
"""By stream and partition, from when to when in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be verified."""

    since: int = 0
    until: int | None = None
    """Only what changed between these times, in microseconds since 1970; None for all that runs have read."""
    sample: int | None = None
    """Only so many windows of all that can be asked for by time."""
    seed: int = 0
    """By which they are drawn."""
    quick: bool = False
    """Whether the tables are not held against the log."""


def dated(stored: Stored, source: str, scope: Scope) -> Windows:
    """Return the windows in which runs have read all of a source, as far as they are wanted."""
    until = scope.until if scope.until is not None else 2**62
    found: Windows = {}
    is_dated = schema.has_statement(f"{source}/edges")
    for stream, partition, cursor in stored.ask("verify/cursors", source=source) if is_dated else ():
        # An API may be asked for whole seconds alone.
        start, end = scope.since // SECOND * SECOND, min(cursor // SECOND * SECOND + SECOND, until)
        if start < end:
            found[stream, partition] = [(start, end)]
    if scope.sample is None or not is_dated:
        return found
    return _drawn(found, _cuts(stored, source), scope)


def _cuts(stored: Stored, source: str) -> Mapping[tuple[str, str], list[int]]:
    """Return times that cut each stream of a source into windows of about a page."""
    found: dict[tuple[str, str], list[int]] = {}
    for stream, partition, edge in stored.ask(f"{source}/edges"):
        found.setdefault((stream, partition), []).append(edge // SECOND * SECOND)
    return found


def _drawn(whole: Windows, cuts: Mapping[tuple[str, str], list[int]], scope: Scope) -> Windows:
    """Return some of the windows, drawn at random: each is as likely as any other."""
    every = [
        (about, window)
        for about, ((start, end),) in sorted((key, tuple(windows)) for key, windows in whole.items())
        for window in pairwise(
            sorted({start, *(cut for cut in cuts.get(about, ()) if start < cut < end), end})
        )
    ]
    chosen = random.Random(scope.seed).sample(every, min(scope.sample or 0, len(every)))  # noqa: S311 -- no secret
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for about, window in sorted(chosen):
        found.setdefault(about, []).append(window)
    return {**found}


def named(differences: Sequence[Difference]) -> Windows:
    """Return the windows that these differences name, those that are near each other as one.

    Lists are named without a time.
    """
    each: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for one in differences:
        if not schema.has_statement(f"{one.source}/edges"):
            continue
        window = (micros(one.since), micros(one.until)) if one.since and one.until else (0, 0)
        each.setdefault((one.stream, one.partition), set()).add(window)
    found: Windows = {}
    for about, windows in each.items():
        joined: list[tuple[int, int]] = []
        for start, end in sorted(windows):
            if joined and start - joined[-1][1] <= NEIGHBOURS_US:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        found[about] = joined
    return found

"""A rebuild that others do: what is to be done, and whether all of it was."""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pyarrow as pa

from etl import __version__, schema
from etl.compute import pc
from etl.errors import OK, QUARANTINED, EnvironmentFaultError
from etl.extract.log import Part
from etl.load.refreshing import ALWAYS_ALLOWED
from etl.pipeline.rebuild import held_in
from etl.pipeline.remote.buckets import CONTROL, number_of
from etl.pipeline.remote.flatten import flatten_parts
from etl.pipeline.remote.load import load_bucket
from etl.pipeline.remote.places import Logs, Place, is_within, local_path, place_of
from etl.pipeline.remote.tables import REFUSED, hide
from etl.pipeline.remote.task import PARTS, Departed, Key, Loaded, Task, Verdict, Written

COMPLETE_FILE = "complete.json"
"""What is put last: which folder holds the tables, and with which files."""
FOLDER = re.compile(r"(\d{8}T\d{6}-[0-9a-f]{8})/", re.ASCII)
FORMAT = 1
BUCKET_BYTES = 2**25
"""Bytes of the logs that a bucket is of, as they are compressed."""
LEAST_BUCKETS, MOST_BUCKETS = 4, 4_096

Engine = Callable[[pa.Table], Iterable[str]]
"""Has both steps done for rows of `PARTS`, and returns what is told of each bucket."""


class Complete(msgspec.Struct, frozen=True):
    """What `complete.json` holds."""

    format: int
    version: str
    folder: str
    files: list[Written]
    damaged: list[str]
    incomplete: list[str]
    unknown: list[str]


@dataclass(slots=True)
class RemoteRebuilt:
    """What a rebuild that others did has made."""

    out: str
    folder: str
    buckets: int
    parts: dict[str, int] = field(default_factory=dict)
    """By source, the parts of the log that were applied."""
    rows: dict[str, int] = field(default_factory=dict)
    """By table."""
    incomplete: list[str] = field(default_factory=list)
    """Sources whose log does not begin with their first load, or lacks a part."""
    damaged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Undeclared fields."""
    knows_forgotten: bool = True
    """Whether beside the logs stands who is to be forgotten."""
    exit_code: int = OK


def rebuild_remotely(
    addresses: tuple[str, str],
    engine: Engine,
    now: datetime,
    buckets: int | None = None,
    redact: Callable[[str], str] | None = None,
) -> RemoteRebuilt:
    """Have the tables made of the logs under the first address, and put below the second.

    `redact` hides secrets that reasons of refusals may quote; None where none are known.

    Raises EnvironmentFaultError where there is no log, where something else is below the second, or where the
    engine fails; what was complete there before stays then.
    """
    raw, out = addresses
    place = place_of(out)
    _refuse_inside(raw, out)
    before = _before(place, out)
    with Logs(raw) as logs:
        twice: list[str] = []
        parts = {name: found for name in schema.names() if (found := _once(logs, name, twice))}
        if not parts:
            raise EnvironmentFaultError(f"there is no log in {raw}: name the folder raw/ of a warehouse")
        knows_forgotten = logs.knows_forgotten()
        buckets = buckets or _buckets(sum(map(logs.size, parts)))
        named = {name: [logs.name_of(part) for part in found] for name, found in parts.items()}
    folder = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    task = Task(__version__, _absolute(raw), _absolute(out), folder, buckets)
    loaded = _loaded(engine, task, parts, named)
    report = _report(out, task, parts, loaded, twice)
    report.knows_forgotten = knows_forgotten
    files = [file for each in loaded for file in each.files]
    _left(place, report, files)
    files = [_without_secrets(place, folder, file, redact) for file in files]
    _complete(place, report, files)
    _delete(place, report, before)
    return report


def _once(logs: Logs, source: str, twice: list[str]) -> list[Part]:
    """Return the parts of a log, the first of those with one number; the others are named in `twice`."""
    found: dict[int, Part] = {}
    for part in logs.parts(source):
        first = found.setdefault(part.number, part)
        if first is not part:
            names = f"{logs.name_of(part)} has the number of {logs.name_of(first)}"
            twice.append(f"{names}, and is left out: move away the one that is a copy")
    return [*found.values()]


def _without_secrets(
    place: Place, folder: str, file: Written, redact: Callable[[str], str] | None
) -> Written:
    """Put a file of what was refused anew where it shows a secret; what there is of it then."""
    if redact is None or file.table != REFUSED.qualified or not file.rows:
        return file
    with TemporaryDirectory(prefix="sightglass-") as made:
        given, hidden = Path(made, "given.parquet"), Path(made, "hidden.parquet")
        given.write_bytes(place.read(f"{folder}/{file.path}") or b"")
        if not hide(given, hidden, redact):
            return file
        place.put(f"{folder}/{file.path}", hidden)
        return msgspec.structs.replace(file, size=hidden.stat().st_size)


def _absolute(uri: str) -> str:
    """Return an address that means the same whatever folder a worker works in."""
    folder = local_path(uri)
    return uri if folder is None else str(folder)


def _refuse_inside(raw: str, out: str) -> None:
    if is_within(out, raw):
        raise EnvironmentFaultError(f"{out} is in the folder of the logs: name one outside of it")


def _before(place: Place, out: str) -> list[str]:
    """Return the files of earlier rebuilds there; EnvironmentFaultError where there are others."""
    # The name of what marks the folder itself in a store is empty.
    found = [*filter(None, place.sizes(""))]
    others = [name for name in found if name != COMPLETE_FILE and not FOLDER.match(name)]
    if others:
        raise EnvironmentFaultError(
            f"{out} holds what no rebuild has put there, {min(others)}: name an empty folder"
        )
    return sorted({*found} - {COMPLETE_FILE})


def _buckets(size: int) -> int:
    """Return how many buckets logs of so many bytes are spread over."""
    return max(LEAST_BUCKETS, min(MOST_BUCKETS, -(-size // BUCKET_BYTES)))


def _loaded(
    engine: Engine, task: Task, parts: Mapping[str, Sequence[Part]], named: Mapping[str, Sequence[str]]
) -> list[Loaded]:
    """Have all done, again for sources in which more rows would have gone than may, until that is settled."""
    done: dict[str, list[Loaded]] = {}
    verdicts: list[Verdict] = []
    left = list(parts)
    while left:
        asked = msgspec.structs.replace(task, verdicts=verdicts)
        told = [msgspec.json.decode(text, type=Loaded) for text in engine(_rows(asked, left, parts, named))]
        found = {name: [each for each in told if each.source == name] for name in left}
        for name, some in found.items():
            _require_all(name, some, len(parts[name]), task.buckets)
        done |= found
        # What comes after a verdict that was guessed wrong says nothing: of each source the first such.
        wrong = {name: _wrong(name, done[name], verdicts) for name in left}
        verdicts = [*verdicts, *(each for some in wrong.values() for each in some)]
        left = [name for name, some in wrong.items() if some]
    return [each for some in done.values() for each in some]


def _rows(
    task: Task, names: Iterable[str], parts: Mapping[str, Sequence[Part]], named: Mapping[str, Sequence[str]]
) -> pa.Table:
    text = task.text()
    columns = list(
        zip(
            *(
                (text, name, part.number, part.run_id, entry, part.is_undone)
                for name in names
                for part, entry in zip(parts[name], named[name], strict=True)
            ),
            strict=True,
        )
    )
    arrays = [pa.array(each, field.type) for each, field in zip(columns, PARTS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=PARTS)


def _require_all(name: str, loaded: Sequence[Loaded], parts: int, buckets: int) -> None:
    """Raise EnvironmentFaultError unless each bucket of a source was loaded once, of all parts."""
    expected = {CONTROL, *range(number_of(schema.source(name), buckets))}
    found = sorted(each.bucket for each in loaded)
    if found != sorted(expected) or any(each.parts != parts for each in loaded):
        raise EnvironmentFaultError(
            f"the cluster has lost something of {name}: it answered for {len(found):,} of {len(expected):,} "
            "buckets; start it again"
        )


def _wrong(name: str, loaded: Sequence[Loaded], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts on the first part of which a guess was wrong; none where all were right."""
    known = {each.key for each in verdicts if each.source == name}
    departed: dict[Key, list[tuple[int, Departed]]] = {}
    for each in loaded:
        for one in each.departed:
            if one.key not in known:
                departed.setdefault(one.key, []).append((each.bucket, one))
    held = [key for key, some in departed.items() if not _may_go(some)]
    first = min((key[0] for key in held), default=None)
    return [Verdict(name, key, may_go=False) for key in sorted(held) if key[0] == first]


def _may_go(some: Sequence[tuple[int, Departed]]) -> bool:
    """Whether rows may go: what was refused does not speak against it, nor are they too many of all."""
    gone, stored = (sum(getattr(one, what) for _, one in some) for what in ("gone", "stored"))
    # Where something was refused, what is said by who knows of it is missing.
    is_sure = CONTROL in {bucket for bucket, _ in some}
    return is_sure and gone <= max(ALWAYS_ALLOWED, some[0][1].most * stored)


def _report(
    out: str,
    task: Task,
    parts: Mapping[str, Sequence[Part]],
    loaded: Sequence[Loaded],
    twice: Sequence[str],
) -> RemoteRebuilt:
    report = RemoteRebuilt(out, task.folder, task.buckets)
    for name, found in parts.items():
        some = [each for each in loaded if each.source == name]
        bad = {number for each in some for number in each.bad}
        report.parts[name] = len(found) - len(bad)
        if not held_in(found, bad, 0).is_whole:
            report.incomplete.append(name)
    report.damaged = sorted({*twice, *(why for each in loaded for why in each.damaged)})
    report.unknown = sorted({f"{each.source}.{name}" for each in loaded for name in each.unknown})
    for each in loaded:
        for file in each.files:
            report.rows[file.table] = report.rows.get(file.table, 0) + file.rows
    report.exit_code = QUARANTINED if report.incomplete or report.damaged else OK
    return report


def _left(place: Place, report: RemoteRebuilt, files: Sequence[Written]) -> list[str]:
    """Return what is in the folder besides these; EnvironmentFaultError where one is not as it was put."""
    prefix = f"{report.folder}/"
    found = {name.removeprefix(prefix): size for name, size in place.sizes(prefix).items()}
    lost = [file.path for file in files if found.pop(file.path, None) != file.size]
    if lost:
        raise EnvironmentFaultError(
            f"{report.out} lacks {min(lost)} that a worker has put there: does every worker see that place, "
            "and no other rebuild put tables there? Start it again"
        )
    return [prefix + name for name in found]


def _complete(place: Place, report: RemoteRebuilt, files: Sequence[Written]) -> None:
    """Say that all is there, once it is; EnvironmentFaultError where a file is not as it was put."""
    place.delete(_left(place, report, files))
    complete = Complete(
        FORMAT,
        __version__,
        report.folder,
        sorted(files, key=lambda each: each.path),
        report.damaged,
        report.incomplete,
        report.unknown,
    )
    earlier = place.read(COMPLETE_FILE)
    place.put(COMPLETE_FILE, msgspec.json.format(msgspec.json.encode(complete), indent=1) + b"\n")
    try:
        # Another rebuild that ended at the same moment may have taken these for left by a killed one.
        _left(place, report, files)
    except EnvironmentFaultError:
        if earlier is not None:
            place.put(COMPLETE_FILE, earlier)
        else:
            place.delete([COMPLETE_FILE])
        raise


def _delete(place: Place, report: RemoteRebuilt, before: Sequence[str]) -> None:
    """Remove what earlier rebuilds have left; EnvironmentFaultError where another one is complete by now.

    What was there before may be of that one, which began first and ended last.
    """
    try:
        folder = msgspec.json.decode(place.read(COMPLETE_FILE) or b"", type=Complete).folder
    except msgspec.DecodeError:
        folder = ""
    if folder != report.folder:
        raise EnvironmentFaultError(
            f"another rebuild put tables into {report.out} at the same time, and those count: let one end "
            "before another begins"
        )
    place.delete(before)


def here(parts: pa.Table) -> Iterable[str]:
    """Do both steps in this process, one part and one bucket after the other."""
    staged = pa.Table.from_batches(flatten_parts(iter(parts.to_batches())))
    keys = staged.select(["task", "source", "bucket"])
    for key in keys.group_by(keys.column_names).aggregate([]).to_pylist():
        scalars = tuple(pa.scalar(value) for value in key.values())
        mask = pc.and_(pc.equal(staged["source"], key["source"]), pc.equal(staged["bucket"], key["bucket"]))
        yield from load_bucket(scalars, staged.filter(mask))["told"].to_pylist()

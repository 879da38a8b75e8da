"""Damage to files of the warehouse: it heals, or one line names it, and the next run is healthy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Sightglass
from faults import Fault, Healthy, meets
from support.fault_damage import LOG, WAREHOUSE, Harm, away, damaged, to

VERSION = "versions/cogniac/detections/2026-0*.1*.parquet"
"""A file of the lake that holds rows."""
COMMIT = "versions/1*.commit"
HEADERS, BLOCK, NEAR = 3 * 4_096, 2**18, 4_096
"""Bytes before the first block, of a block, and from its beginning to where a small table has its rows."""
"""Bytes with which a database of DuckDB begins, and of each of its blocks."""
BI = "bi.duckdb"
MENDED = "sightglass: damaged files of the lake, written anew from the warehouse: versions/"
BEGIN_ANEW = "readers keep what is published; docs/recovery.md says how to begin anew"
INTERRUPTED = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE IF NOT EXISTS more AS SELECT range AS number FROM range(1000)")
connection.execute("INSERT INTO more SELECT range FROM range(1000)")
connection.execute("DROP TABLE more")
os._exit(0)"""
"""Changes that a database has in its log alone; none of them lasts."""


def flip(place: float, count: int = 64) -> Harm:
    """Flip all bits of so many bytes at this share of a file."""

    def harm(path: Path) -> None:
        content = bytearray(path.read_bytes())
        start = min(round(len(content) * place), len(content) - count)
        for at in range(start, start + count):
            content[at] ^= 0xFF
        path.write_bytes(content)

    return harm


def flip_blocks(path: Path) -> None:
    """Flip bits in each block of a database."""
    size = path.stat().st_size
    for place in range(HEADERS, size, BLOCK):
        flip((place + NEAR) / size)(path)


def empty_blocks(path: Path) -> None:
    """Have nothing in each block of a database, as a file system does that lost them."""
    content = path.read_bytes()
    path.write_bytes(content[:HEADERS] + bytes(len(content) - HEADERS))


def mix_blocks(path: Path) -> None:
    """Have each block of a database in the place of the one before it."""
    content = path.read_bytes()
    blocks = content[HEADERS:]
    path.write_bytes(content[:HEADERS] + blocks[BLOCK:] + blocks[:BLOCK])


def cut(share: float) -> Harm:
    """Leave the first part of a file."""
    return lambda path: os.truncate(path, round(path.stat().st_size * share))


def write(content: bytes) -> Harm:
    """Have this in the place of what a file holds."""
    return lambda path: path.write_bytes(content)


def put(name: str, content: bytes = b"of somebody else") -> Callable[[Sightglass], None]:
    """Put a file there, in folders of its own if need be."""

    def happens(sightglass: Sightglass) -> None:
        path = sightglass.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return happens


def all_of(*several: Callable[[Sightglass], None]) -> Callable[[Sightglass], None]:
    """Do one after the other."""

    def happens(sightglass: Sightglass) -> None:
        for each in several:
            each(sightglass)

    return happens


def log_of(database: str, harm: Harm) -> Callable[[Sightglass], None]:
    """Let a database have a log, harmed, and let it be the warehouse's."""

    def happens(sightglass: Sightglass) -> None:
        path = sightglass.home / database
        subprocess.run([sys.executable, "-c", INTERRUPTED, str(path)], check=True)
        log = path.with_name(f"{database}.wal")
        harm(log)
        log.replace(sightglass.home / LOG)

    return happens


def replaced(path: Path) -> None:
    """Have another file under this name."""
    path.unlink()
    path.write_bytes(b"of somebody else")


def swapped(sightglass: Sightglass) -> None:
    """Have one file of the lake in the place of another, each with what was written."""
    first, *_, last = sorted(sightglass.home.glob(VERSION))
    shutil.copy(first, last)


def healed(happens: Callable[[Sightglass], None], what: str = "") -> Fault:
    """What the command mends by itself, and names as this."""
    return Fault(happens, 0, MENDED + what if what else "")


DETECTIONS = "cogniac/detections/2026-0"
NO_DATABASE = f"{WAREHOUSE} is no DuckDB file; move it away"

FAULTS = {
    "a file of the lake that was cut short": healed(to(VERSION, cut(0.5)), DETECTIONS),
    "a file of the lake that was emptied": healed(to(VERSION, cut(0)), DETECTIONS),
    "a file of the lake with flipped bits": healed(to(VERSION, flip(0.5, 1)), DETECTIONS),
    "a file of the lake with a damaged end": healed(to(VERSION, flip(1, 8)), DETECTIONS),
    "a file of the lake that grew": healed(
        to(VERSION, lambda path: path.write_bytes(path.read_bytes() + b"x")), DETECTIONS
    ),
    "a file of the lake that is gone": healed(to(VERSION, Path.unlink), DETECTIONS),
    "a file of the lake that is another one": healed(swapped, DETECTIONS),
    "a clean name that holds flipped bits": healed(
        to("lake/cogniac/detections/2026-0*.parquet", flip(0.5, 1))
    ),
    "a clean name that leads to another file": healed(to("lake/cogniac/media/*.parquet", replaced)),
    "a clean name that is gone": healed(to("lake/cogniac/media/*.parquet", Path.unlink)),
    "a commit with flipped bits": healed(to(COMMIT, flip(0.5, 1)), "1"),
    "a commit with a flipped digit": healed(
        to(COMMIT, lambda path: path.write_bytes(path.read_bytes().replace(b'"rows":6', b'"rows":7', 1))), "1"
    ),
    "a commit that was emptied": healed(to(COMMIT, cut(0)), "1"),
    "a commit that was cut short": healed(to(COMMIT, cut(0.7)), "1"),
    "a commit of an earlier kind": healed(to(COMMIT, write(b'{"tables": {}}'))),
    "a commit that is gone": healed(to(COMMIT, Path.unlink)),
    "a commit of a time to come": healed(put("versions/9999999999999999.commit"), "9999999999999999"),
    "a commit of no time": healed(put("versions/copy of 17.commit")),
    "what remembers which files are whole": healed(put("versions/verified.json", b"\xff{")),
    "a file that claims a time beyond all": healed(
        put("versions/cogniac/media/2026-03.99999999999999999999.parquet")
    ),
    "an older version that nobody can read": healed(
        put("versions/cogniac/media/2026-03.0000000000000001.parquet")
    ),
    "a folder of a file server": healed(
        all_of(*(put(f"versions/{each}@eaDir/x/y") for each in ("", "cogniac/", "cogniac/media/")))
    ),
    "a folder of a Macintosh": healed(
        all_of(
            put("versions/cogniac/media/.AppleDouble/2026-03.1795954000000000.parquet"),
            put("versions/neurons/.DS_Store"),
            put("lake/.AppleDouble/x"),
        )
    ),
    "a folder of a file system": healed(
        all_of(
            *(
                put(f"{each}lost+found/x")
                for each in ("versions/", "versions/cogniac/media/", "lake/cogniac/")
            )
        )
    ),
    "bi.duckdb with flipped bits": healed(to(BI, flip(0.5, 100_000))),
    "bi.duckdb with a damaged beginning": healed(to(BI, flip(0))),
    "bi.duckdb that was cut short": healed(to(BI, cut(0.5))),
    "bi.duckdb that was emptied": healed(to(BI, cut(0))),
    "bi.duckdb that is gone": healed(to(BI, Path.unlink)),
    "a log beside bi.duckdb": healed(put(f"{BI}.wal")),
    "a warehouse with a damaged beginning": damaged(flip(0), NO_DATABASE),
    "a warehouse with a damaged header": damaged(flip(0.0012), f"{WAREHOUSE} is damaged: "),
    "a warehouse with flipped bits throughout": damaged(flip_blocks),
    "a quarantine that cannot be read": replace(damaged(flip_blocks), command=("quarantine",)),
    "a warehouse that cannot be published": replace(damaged(flip_blocks), command=("publish",)),
    "a warehouse that lost its blocks": damaged(empty_blocks),
    "a warehouse whose blocks are mixed": damaged(mix_blocks),
    "a warehouse that was cut short": damaged(cut(0.5)),
    "a warehouse that was emptied": damaged(cut(0), NO_DATABASE),
    "a warehouse that is something else": damaged(write(b"media_id,name\n" * 1_000), NO_DATABASE),
    "a warehouse that is gone": Fault(to(WAREHOUSE, Path.unlink)),
    "a log that broke off": Fault(log_of(WAREHOUSE, cut(0.5))),
    "a log that is nothing": Fault(put(LOG, b"")),
    "a log with flipped bits": Fault(log_of(WAREHOUSE, flip(0.5)), 2, f"{WAREHOUSE} is damaged: ", away(LOG)),
    "a log of another database": Fault(log_of("other", bool), 2, f"{WAREHOUSE} is damaged: ", away(LOG)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_damage_heals_or_is_named(loaded: Healthy, fault: Fault) -> None:
    """One line and its exit code, then a run after which tables and readers have what they had."""
    meets(fault, loaded)

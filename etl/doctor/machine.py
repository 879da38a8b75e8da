"""The machine: folders and files, room, lock, versions, and what cron would find."""

import os
import platform
import shutil
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from etl import __version__
from etl.config import Settings
from etl.doctor.check import Check, failed, good, warned
from etl.extract.log import RAW
from etl.inbox.segment import CLOSED, DAMAGED, FOLDER, LEFT, OPEN
from etl.load.database import SPILL
from etl.load.holder import HOLDER, LOCK, holding
from etl.load.warehouse import NAME as WAREHOUSE
from etl.publish.files import PART
from etl.publish.layout import BI, COMMIT
from etl.publish.size import Sizes, spoken_size

CRON_PATH = "/usr/bin:/bin"
"""Where cron looks for commands, unless the crontab says otherwise."""
PACKAGES = ("duckdb", "pyarrow", "polars", "httpx", "msgspec")
PRIVATE = (WAREHOUSE, LOCK, HOLDER, RAW, FOLDER, SPILL)
"""What is for the owner alone."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO
LONG = timedelta(days=1)
"""How long a run may work, and a post wait, before somebody should look."""
HEADER = 84
DUCK = b"DUCK"


def folder(settings: Settings) -> Iterator[Check]:
    """Look at the folder of the warehouse: whether it is there, whose it is, and who may read what in it."""
    home = settings.home
    if not home.exists():
        above = next(each for each in home.parents if each.exists())
        if os.access(above, os.W_OK | os.X_OK) and above.is_dir():
            yield good("folder", f"{home} is not there yet, the first run makes it")
        else:
            yield failed("folder", f"{home} cannot be made", f"make {above} writable, or set SIGHTGLASS_HOME")
        return
    if not home.is_dir():
        yield failed("folder", f"{home} is no folder", "move it away, or set SIGHTGLASS_HOME")
        return
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield failed("folder", f"{home} cannot be written", "make it writable, or set SIGHTGLASS_HOME")
        return
    yield from _owners(home)
    open_to_others = [
        name
        for name in PRIVATE
        if (home / name).exists() and stat.S_IMODE((home / name).stat().st_mode) & OTHERS
    ]
    if open_to_others:
        named = ", ".join(open_to_others)
        yield warned("modes", f"others may use {named} in {home}", f"chmod go-rwx {named}, there")
    else:
        yield good("modes", "what is for the owner alone is so")


def _owners(home: Path) -> Iterator[Check]:
    """Look for what belongs to another user than this one, near the top."""
    user = os.geteuid() if hasattr(os, "geteuid") else home.stat().st_uid
    places = [home, *sorted(home.iterdir()), *sorted(home.glob(f"{RAW}/*")), *sorted(home.glob("versions/*"))]
    others = {}
    for place in places:
        with suppress(FileNotFoundError):
            if (owner := place.lstat().st_uid) != user:
                others[place] = owner
    unusable = [place for place in places if place.exists() and not os.access(place, _needed(place))]
    named = ", ".join(map(str, unusable or others))
    if unusable:
        yield failed("owner", f"user {user} cannot use {named}", "run as its owner, or chown it to this user")
    elif others:
        yield warned("owner", f"{named} belongs to user {min(others.values())}", "run as one user always")
    else:
        yield good("owner", f"{home} belongs to this user ({user}), who can write it")


def _needed(place: Path) -> int:
    """Return what the owner must be allowed: what is finished is replaced, nobody writes into it."""
    is_finished = place.name == BI or place.suffix in (COMMIT, PART)
    return os.R_OK if is_finished else os.R_OK | os.W_OK


def secret_files(settings: Settings) -> Iterator[Check]:
    """Look who may read the files that hold secrets."""
    for name, origin in settings.origins.items():
        if origin.path is None or not origin.path.is_file():
            continue
        if stat.S_IMODE(origin.path.stat().st_mode) & stat.S_IRWXO:
            yield warned(f"{name}_FILE", f"anybody may read {origin.path}", f"chmod o-rwx {origin.path}")


def room(settings: Settings, sizes: Sizes) -> Iterator[Check]:
    """Look whether there is room for what a run writes."""
    above = next(each for each in [settings.home, *settings.home.parents] if each.exists())
    free, needed = shutil.disk_usage(above).free, sizes.of_a_run
    says = f"{spoken_size(free)} free, a run may write {spoken_size(needed)}"
    if free < needed:
        yield failed("disk", says, "make room, or lower SIGHTGLASS_RAW_DAYS")
    elif free < 4 * needed:
        yield warned("disk", says, "make room soon")
    else:
        yield good("disk", says)


def lock(settings: Settings, now: datetime) -> Iterator[Check]:
    """Look who holds the warehouse, since when, or who died while it did."""
    holder = holding(settings.home)
    if holder is None:
        yield good("lock", "free")
        return
    who = f"process {holder.pid}, since {holder.since}"
    if not holder.is_alive:
        run = f"run {holder.run_id}" if holder.run_id else "a command"
        yield warned(
            "lock",
            f"free; {run} ({who}) was killed or failed as a whole",
            "nothing: the next run goes on from there",
        )
        return
    with suppress(ValueError, TypeError):
        if now - datetime.fromisoformat(holder.since) > LONG:
            yield warned("lock", f"held by {who}", f"if it is stuck, end it: kill {holder.pid}")
            return
    yield good("lock", f"held by {who}: a run works")


def inbox(settings: Settings, now: datetime) -> Iterator[Check]:
    """Look at what was posted and no run has taken."""
    place = settings.home / FOLDER
    try:
        found = [each for each in place.iterdir() if each.suffix in (OPEN, CLOSED, LEFT, DAMAGED)]
        old = [each for each in found if each.suffix in (CLOSED, LEFT) and _age(each, now) > LONG]
    except FileNotFoundError:
        return
    except OSError as error:
        yield failed("inbox", f"{place} cannot be read: {error.strerror}", "run as its owner")
        return
    damaged = [each.name for each in found if each.suffix == DAMAGED]
    if damaged:
        says = f"damaged in {place}: {', '.join(sorted(damaged))}"
        yield warned("inbox", says, "what could be read of it is loaded; look into it, then move it away")
    elif old:
        yield warned("inbox", f"{len(old):,} segments wait for longer than a day", "see that runs come")
    else:
        yield good("inbox", f"{len(found):,} segments, none damaged, none waits for long")


def _age(path: Path, now: datetime) -> timedelta:
    return now - datetime.fromtimestamp(path.stat().st_mtime, UTC)


def versions() -> Iterator[Check]:
    """Say what runs here."""
    found = [f"sightglass {__version__}", f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    yield good("versions", ", ".join(found))


def warehouse(settings: Settings) -> Iterator[Check]:
    """Say by what the warehouse was written; the file is not opened, for a run may hold it."""
    try:
        with (settings.home / WAREHOUSE).open("rb") as file:
            header = file.read(HEADER)
    except FileNotFoundError:
        return
    except OSError as error:
        yield failed("warehouse", f"{WAREHOUSE} cannot be read: {error.strerror}", "run as its owner")
        return
    if len(header) < HEADER or header[8:12] != DUCK:
        yield failed(
            "warehouse", f"{settings.home / WAREHOUSE} is no DuckDB file", "docs/recovery.md says what to do"
        )
        return
    (storage,) = struct.unpack("<Q", header[12:20])
    by = header[52:84].rstrip(b"\0").decode(errors="replace")
    yield good("warehouse", f"storage version {storage}, written by DuckDB {by}")


def cron(path: str = CRON_PATH) -> Iterator[Check]:
    """Look whether cron would find the command."""
    if found := shutil.which("sightglass", path=path):
        yield good("cron", f"finds {found}")
        return
    here = shutil.which("sightglass") or shutil.which("sightglass", path=str(Path(sys.executable).parent))
    cure = f"write {here} in the crontab" if here else "write the whole path of the command in the crontab"
    yield warned("cron", f"with PATH={path} it does not find sightglass", cure)

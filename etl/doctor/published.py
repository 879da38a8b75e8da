"""What is published: whether it is of this folder, and whether every file of it can be read and is whole."""

import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb

from etl.config import Settings
from etl.doctor.check import Check, failed, good, warned
from etl.load.duckdb_errors import first_line
from etl.publish.bi import other_lakes
from etl.publish.layout import BI, Layout
from etl.publish.opened import changes
from etl.publish.size import spoken_size
from etl.publish.state import FileSeal, checksum, decode

ANEW = "`sightglass publish` writes it anew from the warehouse"
READ_BYTES = 256 * 2**20
"""Of the lake that are compared with their checksums, the smallest files first."""
MAGIC = b"PAR1"
NAMES_SHOWN = 3


def bi(settings: Settings) -> Iterator[Check]:
    """Look whether readers can open `bi.duckdb`, and whether it reads the lake of this folder."""
    path = settings.home / BI
    if not path.exists():
        if Layout(settings.home).newest():
            yield failed("bi.duckdb", "it is not there, though a version is published", ANEW)
        else:
            yield good("bi.duckdb", "nothing is published yet")
        return
    try:
        with closing(duckdb.connect(path, read_only=True)) as connection:
            ((views,),) = connection.execute(
                "SELECT count(*) FROM duckdb_views() WHERE NOT internal"
            ).fetchall()
    except (duckdb.Error, OSError) as error:
        yield failed("bi.duckdb", f"it cannot be opened: {first_line(error)}", ANEW)
        return
    others, changed = other_lakes(settings), changes(path)
    if changed:
        named = " and ".join(each.name for each in changed)
        yield failed("bi.duckdb", f"somebody has changed it for all who read it: {named}", ANEW)
    elif others:
        cure = f"if this folder was copied or moved, {ANEW}"
        yield failed("bi.duckdb", f"it reads another lake, {', '.join(others)}", cure)
    else:
        yield good("bi.duckdb", f"{views:,} views of the lake of this folder")


def lake(settings: Settings) -> Iterator[Check]:
    """Look whether every file of the newest version is there, readable, and as it was written."""
    at = Layout(settings.home)
    try:
        newest = at.newest()
        state = decode(at.commit(newest).read_bytes()) if newest else None
    except OSError as error:
        yield failed("lake", f"it cannot be read: {error.strerror}", "run as its owner")
        return
    if not newest:
        yield good("lake", "nothing is published yet")
        return
    if state is None:
        yield failed("lake", f"{at.commit(newest).name} is damaged", ANEW)
        return
    files = {
        at.version(table, part, each.since): each.file
        for table, parts in state.tables.items()
        for part, each in parts.items()
    }
    if not at.lake.exists():
        yield failed("lake", f"the link {at.lake} leads nowhere", ANEW)
        return
    damaged, read = _damaged(files)
    damaged += [
        path for path in at.versions.glob("*/*/*.parquet") if path not in files and not _is_whole(path)
    ]
    if damaged and at.newest() != newest:
        yield warned("lake", "another version came meanwhile", "look again")
    elif damaged:
        named = ", ".join(str(path.relative_to(at.home)) for path in damaged[:NAMES_SHOWN])
        more = f" and {len(damaged) - NAMES_SHOWN:,} more" if len(damaged) > NAMES_SHOWN else ""
        yield failed("lake", f"damaged, missing or unreadable: {named}{more}", ANEW)
    else:
        size = spoken_size(sum(each.size for each in files.values()))
        how = "all as they were written" if read == len(files) else f"{read:,} compared with checksums"
        yield good("lake", f"{len(files):,} files, {size}, {how}")


def _is_whole(path: Path) -> bool:
    """Whether a file that readers list, though they take a newer one, ends as Parquet does."""
    try:
        if not path.is_file() or path.is_symlink():
            return True  # it went, or a link stands there, which readers do not list
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(MAGIC)))
            return file.read() == MAGIC
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _damaged(files: dict[Path, FileSeal]) -> tuple[list[Path], int]:
    """Return the files that are not as they were written, and how many were compared with their checksums."""
    found, compared, left = [], 0, READ_BYTES
    for path, sealed in sorted(files.items(), key=lambda one: one[1].size):
        try:
            told = path.lstat()
            is_whole = stat.S_ISREG(told.st_mode) and told.st_size == sealed.size
            if is_whole and sealed.size <= left:
                left -= sealed.size
                compared += 1
                is_whole = checksum(path) == sealed.checksum
            elif is_whole:
                path.open("rb").close()
        except OSError:
            is_whole = False
        if not is_whole:
            found.append(path)
    return found, compared

"""What DuckDB's errors mean for the warehouse, and how much memory there is to give before one does."""

from contextlib import closing
from functools import cache
from pathlib import Path

import duckdb

from etl.errors import BusyError, EnvironmentFaultError, OutOfMemoryError, SightglassError

MEMORY = 80
"""Megabytes that DuckDB may hold in memory: enough for a batch of ordinary records and what it is compared
with. Where many large ones are compared at once it is given more."""
MEMORY_SHARE = 0.5
"""What part of the memory that DuckDB would take by itself it is given at most."""
UNITS = {"bytes": 1e-6, "KiB": 1024e-6, "MiB": 1024**2 / 1e6, "GiB": 1024**3 / 1e6, "TiB": 1024**4 / 1e6}
"""Megabytes in the units in which DuckDB tells its settings."""

RECOVERY = "readers keep what is published; docs/recovery.md says how to begin anew"

DAMAGED = (
    *("Corrupt", "checksum", "Could not read enough bytes", "Failure while replaying WAL"),
    *("database has been invalidated", "Failed to load metadata", "Serialization Error"),
)
"""What DuckDB says of a file that does not hold what it wrote, by whatever type of error."""

FULL = ("No space left", "File too large", "quota", "max_temp_directory_size")
"""What DuckDB says where the disk is full, in the words of the system or its own."""


def unwritable(error: duckdb.Error) -> EnvironmentFaultError:
    """Why the warehouse could not be written, and what to do."""
    if is_out_of_memory(error):
        return OutOfMemoryError(
            f"DuckDB needs more memory than the {most_memory():,} MB that it is given at most on this "
            "machine: some records are very large; what was loaded is kept: give it more memory, then run "
            "again"
        )
    if is_damage(error):
        return EnvironmentFaultError(f"the warehouse is damaged: {first_line(error)}; {RECOVERY}")
    what = "make room" if is_full(error) else "see to the disk"
    return EnvironmentFaultError(
        f"the warehouse cannot be written: {first_line(error)}; {what}, then run again"
    )


def beyond_limit(megabytes: int) -> EnvironmentFaultError:
    """Why a query that changes nothing could not be answered within these megabytes, and what to do."""
    return EnvironmentFaultError(
        f"this needs more memory than the {megabytes:,} MB of SIGHTGLASS_SQL_MEMORY: "
        "set it higher, or ask for less at once"
    )


def is_damage(error: duckdb.Error) -> bool:
    """Whether DuckDB found that a file does not hold what it wrote, or can make nothing of it."""
    given_up = duckdb.FatalException | duckdb.InternalException | duckdb.SerializationException
    is_found = isinstance(error, given_up) or any(each in str(error) for each in DAMAGED)
    return is_found and not is_full(error) and not is_out_of_memory(error)


def is_full(error: duckdb.Error) -> bool:
    """Whether there is no room on the disk; what fails after that names it as the original error."""
    return any(each in str(error) for each in FULL)


def is_out_of_memory(error: duckdb.Error) -> bool:
    """Whether DuckDB ran out of memory, and not of the disk that it spills to."""
    text = str(error)
    if "max_temp_directory_size" in text:
        return False
    # A commit or a checkpoint tells what ended it in its text alone; so does all that fails after that.
    words = ("failed to pin block", "allocate block", "failed to allocate data", "Out of Memory")
    tells = isinstance(error, duckdb.TransactionException | duckdb.FatalException | duckdb.IOException)
    return isinstance(error, duckdb.OutOfMemoryException) or (tells and any(each in text for each in words))


@cache
def most_memory() -> int:
    """Megabytes that DuckDB is given at most; by itself it takes 80 % of what machine or container have."""
    with closing(duckdb.connect()) as connection:
        ((told,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    number, unit = told.split()
    return max(MEMORY, round(float(number) * UNITS[unit] * MEMORY_SHARE))


def unopenable(path: Path, error: duckdb.Error) -> SightglassError:
    """Why the file could not be opened, and what to do."""
    text = str(error)
    if is_full(error):
        return unwritable(error)
    if "Could not set lock" in text:
        return BusyError(f"another process has {path} open; wait for it to end")
    if "not a valid DuckDB database file" in text:
        return EnvironmentFaultError(
            f"{path} is no DuckDB file; move it away, or set SIGHTGLASS_HOME to another folder"
        )
    if "version number" in text:
        return EnvironmentFaultError(
            f"{path} was written by a newer DuckDB than {duckdb.__version__}; upgrade duckdb"
        )
    if is_damage(error):
        return EnvironmentFaultError(f"{path} is damaged: {first_line(error)}; {RECOVERY}")
    return EnvironmentFaultError(f"{path} cannot be opened: {first_line(error)}")


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or the one that says that the disk is full."""
    lines = str(error).splitlines()
    return next((line for line in lines if any(each in line for each in FULL)), lines[0])

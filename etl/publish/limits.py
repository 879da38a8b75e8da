"""How much is written, sorted or compared at once when the warehouse is published."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """The limits of one publish."""

    partition_rows: int = 250_000
    """Rows of a partition: what an increment rewrites at most for each range of time that it touched."""
    group_rows: int = 16_384
    """Rows of a row group."""
    sorted_rows: int = 24_576
    """Rows that are sorted at once, in Arrow, which holds them once and a row group in order beside them."""
    held_bytes: int = 2**26
    """Bytes of rows from which on DuckDB sorts them, which spills what it cannot hold, and takes longer."""
    ahead: float = 0.02
    """Seconds between naming the time of a version and that time, by half of which its files are in place."""
    keys_per_pass: int = 2_000_000
    """Keys that are compared in one go, within the memory that DuckDB is given."""
    selective_share: float = 0.1
    """Part of a table up to which it pays to find by one column what concerns its rows, and to read only
    that."""
    reread_bytes: float = 2**25
    """Bytes that are read again of files that nobody has touched: hundredths of a second."""


PUBLISH_LIMITS = PublishLimits()

"""Where somebody may still be after `forget`: files of any size, looked into piece by piece."""

import tracemalloc
from pathlib import Path

import pytest

from etl.pipeline.forget_search import BLOCK_BYTES, still_holding

ONE = "item-0001"
MOST_BYTES = 8 * BLOCK_BYTES


@pytest.mark.parametrize("before", [0, 1, 5, 9, 10, 60, 90, 100, 190, 200, 1000])
@pytest.mark.parametrize("blocks", [1, 2])
def test_an_id_is_found_wherever_a_block_ends(tmp_path: Path, before: int, blocks: int) -> None:
    """And what has more to it is another one there, too."""
    start = b" " * (blocks * BLOCK_BYTES - before)
    words = {"one": ONE, "longer": f"{ONE}2", "other": f"x{ONE}", "with more": f"{ONE}-2"}
    for name, word in words.items():
        (tmp_path / name).write_bytes(start + word.encode() + b" " * 300)

    assert [str(tmp_path / "one")] == still_holding(tmp_path, "medium", ONE)


def test_a_small_file_is_looked_into_as_well(tmp_path: Path) -> None:
    """With nothing before or behind the id; an empty one holds nobody."""
    (tmp_path / "alone").write_text(ONE)
    (tmp_path / "empty").touch()
    (tmp_path / "other").write_text(f"{ONE}2")

    assert [str(tmp_path / "alone")] == still_holding(tmp_path, "medium", ONE)


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """A warehouse is larger than the memory of the machine that loads it."""
    with (tmp_path / "warehouse.duckdb").open("wb") as file:
        file.truncate(32 * BLOCK_BYTES)
    with (tmp_path / "film.mp4").open("wb") as file:
        file.seek(16 * BLOCK_BYTES)
        file.write(b"\0" * 100 + ONE.encode())
    tracemalloc.start()
    try:
        found = still_holding(tmp_path, "medium", ONE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [str(tmp_path / "film.mp4")] == found
    assert peak < MOST_BYTES

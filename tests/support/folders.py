"""What stands in a folder."""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl.inbox.segment import Entry, decode
from support.tables import everything


def contents(folder: Path) -> dict[str, tuple[int, int, str]]:
    """All that stands in a folder: size, time and content of each file, mode and time of each folder."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted([folder, *folder.rglob("*")])
    }


def holding(home: Path, needle: str) -> list[str]:
    """The files below a folder that hold a text, however it is packed there."""
    found = [path for path in sorted(home.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [
        str(path.relative_to(home))
        for path in found
        if any(needle.encode().lower() in each.lower() for each in unpacked(path))
    ]


def unpacked(path: Path) -> Iterator[bytes]:
    """What is in a file: its bytes, and what they stand for."""
    yield path.read_bytes()
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            content = bytes(stream.read())
        yield content
        if ".tar" in path.name:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                yield from (f"{each.name}".encode() for each in tar)
        else:
            told = [json.loads(line) for line in content.splitlines()]
            yield b"".join(base64.b64decode(each.get("record_base64", "")) for each in told)
    elif path.suffix == ".parquet":
        yield str(pq.read_table(path).to_pylist()).encode()
        yield str(pq.read_metadata(path).to_dict()).encode()
    elif path.name == "warehouse.duckdb":
        yield str(everything(path.parent)).encode()
    elif path.parent.name == "inbox":
        read = map(decode, path.read_bytes().splitlines())
        yield b"".join(each.body for each in read if isinstance(each, Entry))

"""What must be known of an application to read its detections, whatever else is wrong with it."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from etl.extract.stream import as_received
from etl.values import UNREADABLE

ID = re.compile(rb'"application_id"\s*:\s*"([^"\\]+)"')


class Application(NamedTuple):
    """An application whose detections can be asked for."""

    application_id: str
    is_active: bool = True
    """False only where it says so: what is unclear is read."""
    subjects: frozenset[str] = frozenset()
    """Those it takes in and those it asserts."""


def application_of(record: bytes, application_id: str = "") -> Application | None:
    """Return the application in a record, or that of a known id; None where nothing tells which it is."""
    received = as_received(bytes(record))
    try:
        read = msgspec.json.decode(received)
    except UNREADABLE:
        found = application_id or _id_in(received)
        return Application(found) if found else None
    read = read if isinstance(read, dict) else {}
    named = read.get("application_id")
    if isinstance(named, int) and not isinstance(named, bool):
        named = str(named)
    found = named if named and isinstance(named, str) else application_id
    subjects = frozenset(
        uid for name in ("input_subjects", "output_subjects") for uid in _subjects(read.get(name))
    )
    return Application(found, read.get("active") is not False, subjects) if found else None


def _id_in(received: bytes) -> str:
    """Return the id in a record that is no JSON, where it holds just one; else empty."""
    found = set(ID.findall(received))
    try:
        return found.pop().decode() if len(found) == 1 else ""
    except UnicodeDecodeError:
        return ""


def _subjects(named: Any) -> Iterator[str]:  # noqa: ANN401 -- any JSON
    """Yield the ids in what should be a list of them."""
    for each in named if isinstance(named, list) else [named]:
        uid = each.get("subject_uid") if isinstance(each, dict) else each
        if isinstance(uid, str) and uid:
            yield uid

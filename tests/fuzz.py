"""Bytes that a coverage-guided fuzzer makes up, thrown at all that takes in an answer, by `make test-long`.

What it has found stands as an example in `test_any_input.py` and `test_tolerant.py`.

    python tests/fuzz.py TARGET [FOLDER] -max_total_time=60     a finding ends it, and is printed
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

import atheris

FUZZED = ["etl.extract.tolerant", "etl.transform", "etl.sources", "etl.values"]
with atheris.instrument_imports(include=FUZZED):
    import msgspec

    from etl import schema
    from etl.errors import RecordError
    from etl.extract.stream import Page, as_received
    from etl.extract.tolerant import mended_page, mended_record
    from etl.sources import source_module
    from etl.sources.cogniac.applications import application_of
    from etl.sources.cogniac.pages import name_of, time_of
    from etl.sources.neurons.assets import READERS
    from etl.sources.neurons.instead import sent_instead
    from etl.sources.neurons.listing import changed_at, read_one
    from etl.transform.batch import Transformer
    from etl.values import UNREADABLE

STREAMS = {"cogniac": ("detections", "applications", "subjects"), "neurons": ("media",)}
CONTEXT = {"application_id": "A", "tenant_id": "T"}
TRANSFORMERS = {name: Transformer(source_module(name), schema.source(name)) for name in STREAMS}


def page(body: bytes) -> None:
    """A page is mended to JSON in which nothing is missing that was JSON before, or left alone."""
    mended = mended_page(body)
    if mended is not None:
        found = msgspec.json.decode(mended)
        with suppress(*UNREADABLE):
            assert msgspec.json.decode(body) == found
    record = mended_record(body)
    assert record is None or as_received(record) == body


def record(body: bytes) -> None:
    """A record becomes rows or is refused as it is, in every stream."""
    for read in (time_of, name_of, application_of):
        read(body)
    medium = read_one(body)
    if medium is not None:
        changed_at(medium)
    for source, streams in STREAMS.items():
        for stream in streams:
            (cut,) = TRANSFORMERS[source].transform([Page(stream, [body], CONTEXT)]).values()
            assert cut.fetched == 1
            assert all(len(each.content) <= len(body) for each in cut.rejected)


def file(body: bytes) -> None:
    """A file becomes columns of one length, or is refused with a reason."""
    for name, read in READERS.items():
        sent_instead(body, "text/plain")
        with suppress(RecordError):
            _, columns, _ = read(body)
            assert len({len(column) for column in columns.values()}) <= 1, name


TARGETS: Mapping[str, Callable[[bytes], None]] = {"page": page, "record": record, "file": file}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()

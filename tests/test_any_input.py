"""Whatever bytes come as a record, a time or a file, they become rows or are refused by name."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.any_input import FIXED, NUMBERS, ODD, TEXTS

from etl import schema
from etl.declaration import Column
from etl.errors import RecordError
from etl.extract.stream import File, Page
from etl.load.run_store import RunStore, quarantine_entries, received
from etl.load.stream_stats import StreamStats
from etl.load.warehouse import open_for_writing
from etl.sources import source_module
from etl.sources.neurons.assets import READERS
from etl.sources.neurons.instead import sent_instead
from etl.transform.batch import Transformer
from etl.transform.columns import ValueMismatchError, array
from etl.values import FORMS, Form, epoch_micros, micros

Row = dict[str, Any]
OF_COGNIAC = (
    *("media", "media_id", "focus", "box", "x0", "y0", "x1", "y1", "detections", "updated_at", "timestamp"),
    *("detection_id", "subject_uid", "app_data", "app_data_type", "other_media", "media_list", "custom_data"),
    *("probability", "user_id", "model_id", "created_at", "frame", "media_timestamp", *ODD),
)
OF_NEURONS = ("media_id", "status", "results", "metrics", "created_at", "updated_at", "created", "type", *ODD)
OF_FILES = (
    *("frames", "frame", "time", "time_s", "fps", "uuid", "id", "name", "points", "polygon", "x", "y", "box"),
    *("x0", "y0", "x1", "y1", "1", "2", "a", "buy", "aois", "error", "status", *ODD),
)
RECORD = {
    "media": {"media_id": "M"},
    "updated_at": 1.5,
    "detections": [{"detection_id": "D", "subject_uid": "c"}],
}
MEDIUM = {"media_id": "N"}


def values(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Any JSON in which these names are frequent."""
    leaves = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
    named = st.one_of(st.sampled_from(names), st.text(max_size=4))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(named, inner, max_size=6)),
        max_leaves=20,
    )


def bodies(names: Sequence[str], base: Row) -> st.SearchStrategy[bytes]:
    """JSON texts of anything and of what is nearly a record, whole and with some bytes of them changed."""
    named = st.dictionaries(st.sampled_from(names), values(names), max_size=8)
    whole = st.one_of(named.map(lambda more: {**base, **more}), values(names)).map(json.dumps).map(str.encode)
    harm = st.tuples(whole, st.integers(0, 60), st.binary(max_size=2))
    return st.one_of(whole, harm.map(lambda one: one[0][: one[1]] + one[2] + one[0][one[1] + 1 :]))


def hold(source: str, stream: str, records: list[bytes]) -> None:
    """Each record is the origin of a row, or refused as what can be stored."""
    transformer = Transformer(source_module(source), schema.source(source))
    whole = schema.source(source).of_stream(stream)[0].name
    for _ in range(2):  # what was learnt from a record must do no harm to the next
        cut = transformer.transform([Page(stream, records, {"application_id": "A"})])[stream]
        numbers = cut.tables[whole]["_record"].to_pylist()
        assert len(records) == cut.fetched == len(set(numbers)) + len(cut.rejected)
        for each in cut.rejected:
            stored = (*each.text(), each.fingerprint(stream), each.why.reason, each.why.path)
            assert all(text.encode() for text in stored[1:])
        for made in cut.tables.values():
            made.validate(full=True)
    json.dumps(transformer.unknown()).encode()


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), bodies(OF_COGNIAC, RECORD), st.sampled_from(FIXED)), max_size=5
    )
)
def test_any_record_of_cogniac_is_a_row_or_refused(records: list[bytes]) -> None:
    """What comes as a result is loaded or set apart, and nothing else becomes of it."""
    hold("cogniac", "detections", records)


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), bodies(OF_NEURONS, MEDIUM), st.sampled_from(FIXED)), max_size=5
    )
)
def test_any_medium_of_neurons_is_a_row_or_refused(records: list[bytes]) -> None:
    """What comes as a medium is loaded or set apart, and nothing else becomes of it."""
    hold("neurons", "media", records)


TABLES = st.text('ab,;\t\n\r"\x00 .0123456789eE+-=sp\ufeff', max_size=60)
FILES = st.one_of(
    st.binary(max_size=60),
    bodies(OF_FILES, {}),
    TABLES.map(str.encode),
    TABLES.map(lambda text: text.encode("utf-16")),
    st.sampled_from(FIXED),
)
ABOUT = {"media_id": "M", "state": "loaded", "content_type": "", "bytes": 1, "sha256": "", "fetched_at": 1.5}


@pytest.mark.parametrize("asset", READERS)
@given(body=FILES)
def test_any_file_is_read_or_refused(asset: str, body: bytes) -> None:
    """Of a file whose shape is not known it is said so, whatever is in it."""
    with suppress(RecordError):
        READERS[asset](body)
    transformer = Transformer(source_module("neurons"), schema.source("neurons"))

    cut = transformer.transform([File("assets", asset, {**ABOUT, "asset": asset}, body)])["assets"]

    (row,) = cut.tables["assets"].to_pylist()
    assert (1, row["state"] == "quarantined", not row["_whole"]) == (cut.fetched, *2 * [bool(cut.rejected)])


@given(FILES, st.sampled_from(["", "text/html", "text/csv; charset=utf-8"]))
def test_any_file_is_looked_at(body: bytes, content_type: str) -> None:
    """Whether something else was sent in place of a file can be asked of any bytes."""
    assert sent_instead(body, content_type) or content_type != "text/html"


@given(
    st.one_of(values(("a",)), st.floats(), st.binary(), st.text()),
    st.sets(st.sampled_from([*FORMS, "digits"])),
)
def test_any_value_is_a_time_or_none(value: object, forms: set[Form]) -> None:
    """A time is of the years 1 to 9999; all else is refused as no time, and in no other way."""
    for read in (micros, lambda one: epoch_micros(one, tuple(forms))):
        try:
            found = pa.array([read(value)]).cast(pa.timestamp("us", "UTC"))
        except ValueError:
            continue
        assert 1 <= found[0].as_py().year


@pytest.mark.parametrize(
    "value", [None, True, False, b"1", [1], {}, math.nan, math.inf, -math.inf, 10**400, "", "now"]
)
def test_what_is_no_time_is_a_value_error(value: object) -> None:
    """A truth value is no second of 1970, and no type or size of a value is met with another error."""
    with pytest.raises(ValueError, match=r"."):
        micros(value)


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=4))
def test_times_are_the_same_read_together_or_alone(numbers: list[float]) -> None:
    """A column of numbers holds what `micros` makes of each; the first that is no time is named."""
    alone: list[int] = []
    for number in numbers:
        try:
            alone.append(micros(number))
        except ValueError:
            with pytest.raises(ValueMismatchError) as caught:
                array(Column(type="timestamp", doc="-"), numbers)
            assert len(alone) == caught.value.index
            return

    assert alone == array(Column(type="timestamp", doc="-"), numbers).cast(pa.int64()).to_pylist()


def test_any_bytes_come_back_from_quarantine(tmp_path: Path) -> None:
    """What is refused is stored as it was received, and can be given to the transform stage again."""
    records = [*FIXED, b"", b"\x00", b"\xff\x00\n", "\ufeff\u2028\U0001f600".encode(), b"\x7f\x1b[2J\r\n"]
    cut = Transformer(source_module("neurons"), schema.source("neurons")).transform([Page("media", records)])[
        "media"
    ]
    now = datetime(2026, 3, 4, tzinfo=UTC)
    warehouse = open_for_writing(tmp_path)
    try:
        RunStore(warehouse, "run").quarantine(StreamStats("neurons", "media"), cut.rejected, now)
        kept = [received(warehouse, each).delivery() for each in quarantine_entries(warehouse)]
    finally:
        warehouse.close()

    assert sorted(records) == sorted(each.records[0] for each in kept if isinstance(each, Page))

"""What no column takes of Neurons' files is kept beside the rows it belongs to, or with the file."""

import json

import pytest
from support.assets import AREA, BOX, BOXED, POINTS, SHOWN, cut, rows

SECOND = [
    ("metrics", [{"frame": 1, "frame_number": 7, "a": 1, "b": 2}], 2 * [{"frame_number": 7}]),
    ("metrics", {"time": [0.5], "timestamp": [9.5], "a": [1]}, [{"timestamp": 9.5}]),
    ("metrics", [{"frame": 1, "frame_number": 1, "time": None, "timestamp": 9.5, "a": 1}], [None]),
    (
        "brand_detection",
        [{"scene": "x", "time": 1, "timestamp": 2, "seen": [BOXED]}],
        [{"scene": "x", "timestamp": 2}],
    ),
    ("brand_detection", [{"z": 1, "seen": [{**BOXED, "z": 2}]}], [{"frame.z": 1, "z": 2}]),
    ("brand_detection", [[{**AREA, "uuid": "u", "label": "L"}]], [{"id": "a", "label": "L"}]),
    ("brand_detection", [[{**BOXED, "points": POINTS, "x0": 9}]], [{"box": BOX, "x0": 9}]),
    ("brand_detection", [[{"id": "a", "box": {**BOX, "unit": "px"}}]], [{"box": {"unit": "px"}}]),
    ("brand_detection", [[{"id": 1.5, "name": "A", "box": None, **BOX}]], [{"id": 1.5}]),
    ("brand_detection_metrics", [{"uuid": "u", "id": 7, "a": 1, "b": 2}], 2 * [{"id": 7}]),
    ("brand_detection_metrics", {"K": {"id": "a", "name": "A", "z": 1}}, [{"key": "K"}]),
    ("brand_detection_metrics", {"a": {"id": "a", "name": "A", "z": 1}}, [None]),
    (
        "brand_detection_metrics",
        {"u": {"name": "A", "brand": "B", "ok": True, "a": 1}},
        [{"brand": "B", "ok": True}],
    ),
]


@pytest.mark.parametrize(("asset", "content", "expected"), SECOND, ids=str)
def test_what_no_column_takes_is_kept_with_its_rows(asset: str, content: object, expected: object) -> None:
    """What a frame or an area says twice, or beside what is known, is in `_extra` of its rows."""
    found = cut((asset, content))

    kept = [row["_extra"] for row in found.tables[SHOWN[asset][0]].to_pylist()]
    assert ([], expected) == (found.rejected, [each and json.loads(each) for each in kept])


def test_what_is_said_of_a_frame_without_areas_is_kept_with_the_file() -> None:
    """A frame without areas has no row: what else it says stands in `_extra` of the row of the file."""
    found = cut(("brand_detection", [{"scene": "x", "seen": []}, {"seen": [AREA]}, {"seen": []}]))

    (kept,) = found.tables["assets"]["_extra"].to_pylist()
    assert {"frames_without_areas": {"1": {"scene": "x"}}} == json.loads(kept)


@pytest.mark.parametrize(
    ("asset", "content", "expected"),
    [
        (
            "brand_detection_metrics",
            {"K": {"id": "a", "name": "A"}, "b": {}, "c": {"score": 1}},
            {
                "areas_without_metrics": [
                    {"id": "a", "key": "K", "name": "A"},
                    {"id": "b", "name": None},
                ]
            },
        ),
        ("aoi_scores", [{"name": "A"}, {"name": "B", "score": 1}], {"lines_of_a_name_alone": {"1": "A"}}),
    ],
)
def test_an_area_of_which_nothing_is_said_is_kept_with_the_file(
    asset: str, content: object, expected: object
) -> None:
    """Without a metric it has no row."""
    found = cut((asset, content))

    (kept,) = found.tables["assets"]["_extra"].to_pylist()
    assert ([], expected) == (found.rejected, json.loads(kept))
    assert 1 == len(found.tables[SHOWN[asset][0]])


def test_a_key_and_a_field_of_an_area_do_not_hide_each_other() -> None:
    """What an area of scores stands under is a cell of its own where the area names itself otherwise."""
    assert "1 other key - K key\n1 other score 1.0 - score" == rows(
        "aoi_scores", {"K": {"aoi": "other", "score": 1}}
    )
    assert "1 K score 1.0 - score" == rows("aoi_scores", {"K": {"aoi": "K", "score": 1}})
    assert "1 o key 2.0 - key" == rows("aoi_scores", [{"aoi": "o", "key": 2}])
    assert "1 o key_ - K key_\n1 o key 1.0 - key" == rows("aoi_scores", {"K": {"aoi": "o", "key": 1}})


@pytest.mark.parametrize(
    ("asset", "content"),
    [
        ("metrics", [{"a": 1}]),
        ("brand_detection", [[BOXED]]),
        ("brand_detection_metrics", {"u": {"a": 1}}),
        ("aoi_scores", [{"name": "A", "a": 1}]),
    ],
)
def test_what_a_file_says_beside_its_rows_is_kept_with_the_file(asset: str, content: object) -> None:
    """What stands around the content of a file, but its medium and frame rate, is in `_extra` of its row."""
    around = {"media_id": "M", "fps": 4, "version": "2", "made_at": None}

    made = [
        cut((asset, each)).tables["assets"].to_pylist()
        for each in ({**around, "x": content}, {"fps": "25", "x": content}, {"fps": 4, "x": content})
    ]

    assert [['{"made_at":null,"version":"2"}'], ['{"fps":"25"}'], [None]] == [
        [row["_extra"] for row in each] for each in made
    ]

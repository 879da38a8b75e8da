"""Areas of interest in the report: those of one name are told apart, in scores, bars and times on screen."""

import json
import re
from typing import Any

from support.report_data import NEURONS, NOW, filled

from etl.publish.report import page


def answers(script: str) -> dict[str, Any]:
    """What the report of Neurons' media and of these areas holds."""
    with filled(NEURONS + script) as connection:
        text = page(connection, NOW)
    (block,) = re.findall(r'id="answers">(.*?)</script>', text, re.DOTALL)
    found: dict[str, Any] = json.loads(block)["answers"]
    return found


def lines(answer: dict[str, list[Any]], *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the lines about the one video."""
    pairs = zip(answer["media_id"], zip(*(answer[each] for each in columns), strict=True), strict=True)
    return [line for media_id, line in pairs if media_id == "other"]


TWINS = """
    INSERT INTO neurons.aoi_metrics BY NAME
    SELECT
        'other' AS media_id, 'brand_detection_metrics' AS asset,
        unnest(['u1', 'u2', 'u1', 'u2', 'u3']) AS aoi_id,
        unnest(['Logo', 'Logo', 'Logo', 'Logo', 'Sky']) AS aoi_name,
        unnest(['attention', 'attention', 'seen', 'seen', 'seen']) AS metric,
        unnest([1.0, 3.0, 20.0, 10.0, 5.0]) AS value;
    INSERT INTO neurons.aoi_scores BY NAME
    SELECT
        'other' AS media_id, 'aoi_scores' AS asset, unnest([1, 2, 3, 4]) AS row_number,
        unnest(['Logo', 'Sky', 'Sky', NULL]) AS aoi_name,
        'seen' AS metric, unnest([7.0, 5.0, 6.0, 8.0]) AS value;
"""


def test_areas_with_one_name_are_told_apart() -> None:
    """Each has the numbers that are its own: none has the highest of another, and none is left out."""
    assert [
        ("Logo (u2)", "attention", 3.0, 6),
        ("Logo (u2)", "seen", 10.0, 6),
        ("Logo (u1)", "attention", 1.0, 6),
        ("Logo (u1)", "seen", 20.0, 6),
        ("Logo (line 1)", "seen", 7.0, 6),
        ("Sky (u3)", "seen", 5.0, 6),
        ("Sky (line 3)", "seen", 6.0, 6),
        ("line 4", "seen", 8.0, 6),
    ] == lines(answers(TWINS)["areas"], "area", "metric", "value", "areas")


SEEN_TWINS = """
    INSERT INTO neurons.aoi_frames BY NAME
    SELECT
        'other' AS media_id, 'brand_detection' AS asset, unnest([1, 2, 3, 1, 3]) AS frame,
        unnest(['u1', 'u1', 'u2', 'u3', 'u1']) AS aoi_id, 0 AS instance,
        unnest(['Logo', 'Logo', 'Logo', 'Sky', NULL]) AS aoi_name;
"""


def test_areas_with_one_name_are_on_screen_by_themselves() -> None:
    """Bars and times on screen are of the same areas, each by its id: one of two logos is no other."""
    found = answers(SEEN_TWINS)

    expected = [("Logo (u1)", 3), ("Logo (u2)", 1), ("Sky", 1)]
    assert [(*each, 3) for each in expected] == lines(found["areas_seen"], "area", "frames", "areas")
    assert expected == lines(found["exposure"], "area", "frames_on_screen")

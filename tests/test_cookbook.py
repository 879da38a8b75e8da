"""The cookbook: each of its questions is asked as it stands there."""

import re
from datetime import date
from pathlib import Path

import duckdb
import pytest
from conftest import Story
from support.marts import made

from etl.views import views

TEXT = (Path(__file__).parents[1] / "docs" / "cookbook.md").read_text(encoding="utf-8")
QUESTIONS = dict(re.findall(r"^### ([^\n]+\?)\n\n```sql\n(.*?)\n```$", TEXT, re.MULTILINE | re.DOTALL))

WITHOUT_ANSWER = {"Has a model drifted away from its first weeks?"}
"""Questions to which the simulators hold nothing: their marts have cases of their own."""


def test_there_are_thirty_questions_and_every_mart_is_asked() -> None:
    """Whoever adds a mart adds a question."""
    marts = {view.qualified for view in views() if view.schema == "mart"}

    assert 30 == TEXT.count("\n### ") == TEXT.count("```sql") == len(QUESTIONS)
    assert marts == set(re.findall(r"\bmart\.\w+", TEXT))


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_is_answered(question: str, story: Story) -> None:
    """Over what a first load and an increment have published."""
    with duckdb.connect(story.home / "bi.duckdb", read_only=True) as connection:
        answer = connection.execute(QUESTIONS[question]).fetchall()

    assert (question in WITHOUT_ANSWER) == (not answer)
    assert len(answer) == len(set(answer))


def test_mean_of_counts_is_one_of_results() -> None:
    """Where 99 results hold one each and one holds 101, the mean is two, not that of the two counts."""
    insert = """
        INSERT INTO cogniac.detections
            (application_id, media_id, focus_key, detection_id, subject_uid,
             app_data_type, reading, created_at)
        SELECT
            'a1', 'm' || number, '', 'd1', 'pills', 'count',
            CASE WHEN number = 0 THEN '101.0' ELSE '1.0' END,
            TIMESTAMPTZ '2026-03-01 08:00:00Z'
        FROM range(100) AS counted(number)
    """
    with made() as connection:
        connection.execute(insert)
        found = connection.execute(QUESTIONS["How many were counted each day?"]).fetchall()

    assert [(None, None, date(2026, 3, 1), 200.0, 2.0)] == found


def test_last_week_is_that_of_each_application() -> None:
    """One that stopped in January has a last week too: seven days, up to the last one that it worked."""
    insert = """
        INSERT INTO cogniac.results (application_id, media_id, focus_key, updated_at)
        VALUES
            ('a1', 'm1', '', '2026-01-01 08:00:00Z'),
            ('a1', 'm2', '', '2026-01-02 08:00:00Z'),
            ('a1', 'm3', '', '2026-01-08 08:00:00Z'),
            ('a2', 'm4', '', '2026-03-01 08:00:00Z')
    """
    with made() as connection:
        connection.execute(insert)
        found = connection.execute(
            QUESTIONS["How much did each application look at in the last week that it worked?"]
        ).fetchall()

    assert [
        ("a1", None, date(2026, 1, 8), 2, 2),
        ("a2", None, date(2026, 3, 1), 1, 1),
    ] == found

"""The pictures in `docs/tables.md` show what the declarations and the views say."""

import re

import pytest
from conftest import ROOT

from etl import diagrams, schema
from etl.foreign_keys import foreign_keys
from etl.views import views

PICTURES = re.findall(r"```mermaid\n(.*?)```", diagrams.page(), re.DOTALL)
ENTITIES = r"erDiagram\n(    \w+ \{\n(        \w+ \w+ (PK|FK|PK, FK)\n)+    \}\n)+"
RELATIONS = r"(    \w+ (\|\||\|o)(--|\.\.)o\{ \w+ : \w+\n)+"
NODE = r"\w+(?:\(\[\w+\]\)|\[\([\w.]+\)\]|\[\w+\])\n"
FLOW = (
    rf"flowchart LR\n(    {NODE})*"
    rf'(    subgraph \w+\["\w+"\]\n(        {NODE})+    end\n)+'
    r"(    \w+ (-->|-\.->) \w+\n)+"
)


def test_page_is_current() -> None:
    """`make docs` writes it anew."""
    assert diagrams.page() == (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", PICTURES, ids=range(len(PICTURES)))
def test_picture_is_of_a_form_that_mermaid_draws(picture: str) -> None:
    """Of the forms that were tried with Mermaid 11, and its lines lead from and to what is in it."""
    assert re.fullmatch(ENTITIES + RELATIONS if picture.startswith("er") else FLOW, picture)

    there = set(re.findall(r"^ +(\w+)(?: \{|[(\[])", picture, re.MULTILINE))
    led = re.findall(r"^    (\w+) \S+(?:--|\.\.|>)\S* (\w+)", picture, re.MULTILINE)
    assert set() == {name for pair in led for name in pair} - there


def test_every_view_is_led_to_from_what_it_reads() -> None:
    """A line leads to each view from all tables and views that its query names, and from no other."""
    read = re.compile(r"\b(?:cogniac|neurons|etl|staging)\.\w+")
    expected = {
        (name.replace(".", "_"), view.qualified.replace(".", "_"))
        for view in views()
        for name in read.findall(view.query)
    }

    led = {pair for picture in PICTURES for pair in re.findall(r"    (\w+) --> (\w+)", picture)}

    assert expected == {pair for pair in led if pair[1].startswith(("mart_", "staging_"))}


def test_tables_refer_to_their_wholes_and_to_what_their_columns_name() -> None:
    """What the whole refers to, the part does not say again."""
    found = [
        (key.table.name, key.parent.name, key.columns, key.is_part)
        for key in foreign_keys(schema.source("neurons"))
    ]

    assert [
        ("media_metrics", "media", ("media_id",), True),
        ("assets", "media", ("media_id",), False),
        ("frame_metrics", "assets", ("media_id", "asset"), True),
        ("aoi_frames", "assets", ("media_id", "asset"), True),
        ("aoi_metrics", "assets", ("media_id", "asset"), True),
        ("aoi_scores", "assets", ("media_id", "asset"), True),
    ] == found

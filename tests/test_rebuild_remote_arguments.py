"""`sightglass rebuild --remote`: arguments that do not do are named in a line, and logins are not shown."""

from pathlib import Path

import pytest
from conftest import ROOT, Sightglass
from support.remote import (
    HERE,
    asked,
    said_by,
)

from etl.errors import EnvironmentFaultError
from etl.pipeline.remote.cluster import cluster_errors as told
from etl.pipeline.remote.places import is_within, place_of

OTHERS = "from etl import cli\ncli.main()"
"""The command as it is."""
TELLS = """
from contextlib import contextmanager
from etl.pipeline.remote import cluster
@contextmanager
def cluster_errors(address):
    with cluster.cluster_errors("h:1"):
        raise ValueError("it does not take hush-this-token")
    yield
cluster.cluster = cluster_errors
from etl import cli
cli.main()
"""
"""The command, whose engine says the token that it was given."""


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        (
            "http://127.0.0.1",
            "--remote names no Spark Connect server, which is sc://HOST[:PORT]: http://127.0.0.1",
        ),
        (
            "sc://127.0.0.1:x",
            "--remote names no Spark Connect server, which is sc://HOST[:PORT]: sc://127.0.0.1:x",
        ),
        ("sc://127.0.0.1:1", "no Spark Connect answers at 127.0.0.1:1: Connection refused"),
        ("sc://h/;token=hush", "--remote holds a token, which any list of processes shows: set SPARK_"),
    ],
)
def test_addresses_that_do_not_do_are_named(tmp_path: Path, remote: str, said: str) -> None:
    """In one line, with exit code 2; a token is not shown."""
    ran = asked(tmp_path)("rebuild", "--remote", remote, "raw", "out")

    assert (2, 1, True, False) == (
        ran.code,
        ran.err.count("\n"),
        ran.err.startswith(f"sightglass: {said}"),
        "hush" in ran.err,
    )


def test_arguments_that_do_not_go_together(tmp_path: Path) -> None:
    """They are named, and nothing is done."""
    asks = [
        ("--remote", "sc://h", "raw"),
        ("--remote", "sc://h", "raw", "out", "--log-alone"),
        ("--buckets", "3"),
    ]
    ran = [asked(tmp_path)("rebuild", *each) for each in asks]

    both = "sightglass: --remote takes RAW_URI and OUT_URI; --into and --log-alone are for one machine\n"
    assert [(2, both), (2, both), (2, "sightglass: --buckets is for a rebuild with --remote\n")] == [
        (each.code, each.err) for each in ran
    ]


def test_without_the_extra_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    """All else works."""
    (tmp_path / "pyspark.py").write_text("raise ModuleNotFoundError('none', name='pyspark')")
    ran = Sightglass(tmp_path, {"PYTHONPATH": f"{tmp_path}:{ROOT}"})(
        "rebuild", "--remote", "sc://h", "r", "o"
    )

    said = "sightglass: a rebuild on a cluster needs pyspark: pip install 'sightglass-etl[spark]'\n"
    assert (2, said) == (ran.code, ran.err)


@pytest.mark.parametrize(
    ("remote", "raw"),
    [
        ("sc://user:hunter2secret@h:1", "raw"),
        ("sc://user:hunter2/secret@h:1", "raw"),
        ("sc://here", "s3://key:hunter2secret@bucket/raw"),
        ("sc://here", "s3://key:hunter2/secret@bucket/raw"),
        ("sc://here", "ftp://key:hunter2secret@bucket/raw"),
        ("sc://here", "S3://key:hunter2secret@bucket/raw"),
    ],
)
def test_logins_in_addresses_are_refused_and_not_shown(tmp_path: Path, remote: str, raw: str) -> None:
    """Whatever they are the login of."""
    program = HERE if remote == "sc://here" else OTHERS
    code, said = said_by(asked(tmp_path), program, remote, raw, "out")

    assert (2, 1, False, False) == (code, said.count("\n"), "hunter2" in said, "secret" in said)


def test_a_token_that_the_engine_says_is_not_shown(tmp_path: Path) -> None:
    """It comes from its own variable, which is no setting."""
    sightglass = asked(tmp_path).but_for({"SPARK_CONNECT_AUTHENTICATE_TOKEN": "hush-this-token"})
    code, said = said_by(sightglass, TELLS, "sc://here", "raw", "out")

    assert (2, "sightglass: the cluster at h:1 failed: it does not take ***\n") == (code, said)


@pytest.mark.parametrize(
    ("raw", "out", "said"),
    [
        ("raw", "file:/x", "file:/x is neither a folder, file:///folder, nor s3://"),
        ("raw", "S3:/bucket/x", "S3:/bucket/x is neither a folder"),
        ("raw", "file:///x%00y", "file:///x%00y is neither a folder"),
        ("raw", "s3://bucket/a?b", "s3://bucket/a?b has a ? or #"),
        ("s3://bucket/a#b", "out", "s3://bucket/a#b has a ? or #"),
        ("s3://bucket/home/raw", "S3://bucket/home/raw/made", "S3://bucket/home/raw/made is in the folder"),
        ("s3://bucket/home/raw/", "s3://bucket/home/raw", "s3://bucket/home/raw is in the folder of the"),
        ("loop", "out", "cannot read"),
        ("raw", "loop", "cannot use"),
    ],
)
def test_addresses_that_mislead_are_refused(tmp_path: Path, raw: str, out: str, said: str) -> None:
    """In one line; nothing is written anywhere."""
    (tmp_path / "loop").symlink_to("loop")
    code, shown = said_by(asked(tmp_path), HERE, "sc://here", raw, out)

    assert (2, 1, True) == (code, shown.count("\n"), shown.startswith(f"sightglass: {said}")), shown
    assert ["loop"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize("address", ["sc://[", "sc://a..b"])
def test_names_that_are_none_are_refused(tmp_path: Path, address: str) -> None:
    """In one line."""
    ran = asked(tmp_path)("rebuild", "--remote", address, "raw", "out")

    assert (2, 1, True) == (ran.code, ran.err.count("\n"), address.removeprefix("sc://") in ran.err)


def test_a_scheme_in_capitals_is_that_of_a_store() -> None:
    """It names the same place."""
    assert is_within("S3://bucket/raw/a", "s3://bucket/raw")
    assert not is_within("s3://bucket/rawer", "s3://bucket/raw")
    assert not is_within("s3://bucket/raw", "raw")
    assert "_Store" == type(place_of("S3://bucket/raw")).__name__


def test_an_error_without_words_is_named_by_its_kind() -> None:
    """What an engine raises may say nothing."""
    with pytest.raises(EnvironmentFaultError, match=r"^the cluster at h:1 failed: KeyError$"), told("h:1"):
        raise KeyError

"""Whose warehouse it is, which sources are loaded; settings and terminals that are not as they should be."""

from pathlib import Path

import duckdb
from conftest import Row, Sightglass, all_rows, rows
from hostile import (
    DETECTIONS,
    MEDIA,
    Answer,
    Placed,
    Routes,
    T,
    cogniac,
    of_cogniac,
    of_neurons,
    record,
    serving,
)
from support.hostile_accounts import accounts


def neurons_ids(home: Path) -> dict[str, bool]:
    """Each stored medium, and whether it is marked as deleted."""
    return {row["media_id"]: "deleted_at" in row for row in rows(home, "neurons.media")}


def bound(home: Path) -> dict[str, str]:
    """By source, the account that the warehouse is bound to."""
    return {row["source"]: row["account"] for row in rows(home, "etl.accounts")}


def content(home: Path) -> tuple[dict[str, list[Row]], set[Path]]:
    """All rows of the warehouse, and all files of the lake and the archive."""
    files = {path for path in home.glob("*/**/*") if path.is_file()}
    return all_rows(home), files


def test_another_key_of_neurons_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The media of another account are neither mixed in, nor are those that are stored marked as deleted."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        first = sightglass("run", NEURONS_API_KEY="old")
        before = content(sightglass.home)
        asked = server.count(MEDIA)
        ran = sightglass("run", NEURONS_API_KEY="key-of-others", SIGHTGLASS_RAW_DAYS="30")
        backfill = sightglass("backfill", "neurons", "--since", "2026-01-01", NEURONS_API_KEY="key-of-others")
        after = content(sightglass.home)

    assert (0, 1, 2, 2) == (first.code, asked, ran.code, backfill.code)
    assert ran.err.startswith("sightglass: the warehouse holds neurons data of another account (")
    assert "`sightglass confirm account neurons`" in ran.err
    assert before == after
    assert not {"old", "key-of-others"} & {*bound(sightglass.home).values()}


def test_a_new_key_of_the_same_account_takes_over(tmp_path: Path) -> None:
    """Where the list shows media that are stored, the key was rotated; it is asked for once."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        before = bound(sightglass.home)
        counts = [server.count(MEDIA)]
        for _ in range(2):
            assert 0 == sightglass("run", NEURONS_API_KEY="new").code
            counts.append(server.count(MEDIA))

    assert [1, 3, 4] == counts
    assert before != bound(sightglass.home)
    assert {f"n{number}": False for number in range(12)} == neurons_ids(sightglass.home)


def test_a_new_key_is_known_by_a_stored_medium_that_the_list_does_not_show(tmp_path: Path) -> None:
    """Where the first page shares nothing, some stored media are asked for by their ids."""
    with serving(accounts({"new": range(0)})) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        ran = sightglass("run", NEURONS_API_KEY="new")

    assert (0, 2) == (ran.code, len(rows(sightglass.home, "etl.runs")))


def test_a_confirmed_account_is_loaded_into_the_same_warehouse(tmp_path: Path) -> None:
    """It holds once: a third account is refused again, and no medium of the first is held to be deleted."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        old = bound(sightglass.home)
        confirmed = sightglass("confirm", "account", "neurons")
        ran = sightglass("run", NEURONS_API_KEY="key-of-others")
        new = bound(sightglass.home)
        third = sightglass("run", NEURONS_API_KEY="third")
        refreshed = sightglass("refresh", "neurons.media", "--force", NEURONS_API_KEY="key-of-others")

    assert (0, 0, 2) == (confirmed.code, ran.code, third.code)
    assert old != new == bound(sightglass.home)
    assert {f"n{number}": False for number in [*range(12), *range(100, 124)]} == neurons_ids(sightglass.home)
    assert "held back" not in ran.err
    assert 0 == refreshed.code
    assert "nothing was taken away, for data of another account are there too" in refreshed.err


def test_a_key_that_is_refused_binds_nothing(tmp_path: Path) -> None:
    """A mistyped first key is a login that fails; the right one is bound when its first rows come."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        wrong = sightglass("run", NEURONS_API_KEY="mistyped")
        unbound = bound(sightglass.home)
        right = sightglass("run", NEURONS_API_KEY="old")
        again = sightglass("run", NEURONS_API_KEY="mistyped")

    assert (3, {}, 0, 3) == (wrong.code, unbound, right.code, again.code)
    gaps = [(row["source"], row["stream"], row["error"]) for row in rows(sightglass.home, "etl.gaps")]
    said = f"GET {server.url}predict/v2/media answered 401: no such key; check NEURONS_API_KEY"
    assert [("neurons", "media", said)] == gaps


def test_a_warehouse_of_an_older_version_is_bound_to_the_account_it_shares_media_with(tmp_path: Path) -> None:
    """Without a binding another account is refused all the same, and the right one bound."""
    with serving(accounts()) as server:
        sightglass = of_neurons(tmp_path, server)
        sightglass("run", NEURONS_API_KEY="old")
        unbind(sightglass.home)
        other = sightglass("run", NEURONS_API_KEY="key-of-others")
        between = bound(sightglass.home)
        same = sightglass("run", NEURONS_API_KEY="old")

    assert (2, {}, 0, {"neurons"}) == (other.code, between, same.code, {*bound(sightglass.home)})


def unbind(home: Path) -> None:
    """Make the warehouse one of a version that knew no accounts."""
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute("DROP TABLE etl.accounts")
        connection.execute("DROP TABLE etl.confirmations")


def tenant(name: str, *, shared: str | None = None) -> Routes:
    """A tenant with one application and one record; its subject may be shared by another tenant."""
    found = dict(cogniac({DETECTIONS: Placed([(T, record(0))])}))
    return {
        "/1/users/current/tenants": {"tenants": [{"tenant_id": name}]},
        "/1/tenants/[^/]+/subjects": {"data": [{"subject_uid": "cat", "tenant_id": shared or name}]},
        **{path: said for path, said in found.items() if "subjects" not in path and "users" not in path},
    }


def test_another_tenant_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Whether the key leads there or COG_TENANT does; with COG_TENANT nothing is asked at all."""
    with serving(tenant("t1")) as server, serving(tenant("t2")) as other:
        sightglass = of_cogniac(tmp_path, server)
        first = sightglass("run")
        before = content(sightglass.home)
        by_key = sightglass("run", COG_URL_PREFIX=other.url)
        asked = len(server.asked)
        by_name = sightglass("run", COG_TENANT="t2")
        after = content(sightglass.home)

    assert (0, 2, 2, []) == (first.code, by_key.code, by_name.code, server.asked[asked:])
    assert (
        by_key.err
        == by_name.err
        == (
            "sightglass: the warehouse holds cogniac data of another account (t1) than the credentials lead "
            "to (t2): set SIGHTGLASS_HOME to another folder, or, to load both accounts into this one, run "
            "`sightglass confirm account cogniac` first\n"
        )
    )
    assert (before, {"cogniac": "t1"}) == (after, bound(sightglass.home))


def test_an_older_warehouse_is_compared_with_the_tenants_of_its_applications(tmp_path: Path) -> None:
    """A tenant whose subjects are stored because it shares them is another one all the same."""
    with serving(tenant("t1", shared="t2")) as server, serving(tenant("t2")) as other:
        sightglass = of_cogniac(tmp_path, server)
        sightglass("run")
        unbind(sightglass.home)
        refused = sightglass("run", COG_URL_PREFIX=other.url)
        taken = sightglass("run")

    assert (2, 0, {"cogniac": "t1"}) == (refused.code, taken.code, bound(sightglass.home))
    assert refused.err.startswith("sightglass: the warehouse holds cogniac data of another account than")


def test_an_account_that_cannot_be_asked_for_fails_its_source_alone(tmp_path: Path) -> None:
    """It is neither a mistake in the settings nor a bug: its streams are gaps, the other source is loaded."""
    down = {**tenant("t1"), "/1/users/current/tenants": Answer(b"", 503)}
    with serving(accounts()) as server, serving(down) as other:
        both = {**of_cogniac(tmp_path, other).settings, **of_neurons(tmp_path, server).settings}
        sightglass = Sightglass(tmp_path, {**both, "SIGHTGLASS_RETRY_BUDGET": "0"})
        ran = sightglass("run", NEURONS_API_KEY="old")

    assert (3, 12, {"neurons"}) == (ran.code, len(neurons_ids(sightglass.home)), {*bound(sightglass.home)})
    said = f"GET {other.url}1/users/current/tenants answered 503"
    gaps = [(row["source"], row["stream"], row["error"]) for row in rows(sightglass.home, "etl.gaps")]
    assert [("cogniac", "applications", said)] == gaps
    assert 1 == other.count("/tenants")

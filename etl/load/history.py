"""Keep every version of a part: from when to when it held, by the times of the record it belongs to.

A record's version at time `version` says which parts held from then on, until the next version known
(`following`; NULL for the newest). It closes what it does not repeat and opens what it brings. A version
that arrives late does so in the middle: what it interrupts goes on after it. Versions that share one time
are numbered by `revision`; all but the last of them held for no time at all.

What follows from the current rows is not stored (see `relation`). Before such a row is replaced, its version
is; from then on it goes on, or ends, like any other. A late version never touches what follows from a row,
which holds from the newest version on.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from etl.load.relation import LINEAGE, MARK, derived, time_of_whole
from etl.load.sql import among, equal, names, plain, same
from etl.schema import Source, Table, quote
from etl.transform.flatten import RECORD
from etl.transform.shape import paths_of

KNOWN = {"changed", "late"}
IS_KNOWN = "kind IN ('changed', 'late')"
"""The records of a batch that have a history."""

ENDS = "covers AND NOT repeated"
"""The rows in `held` that hold until the new version."""

OWN = "valid_from, valid_to, revision, _run_id, _loaded_at"
"""The columns that a history has besides those of the part."""


def statements(source: Source, whole: Table, part: Table, kinds: AbstractSet[str]) -> Iterator[str]:
    """Yield the statements that take the parts in `outcome` into their history, before the tables change.

    They come after those of `enter_versions`. Those that name `$run_id` and `$loaded_at` want them as
    parameters. What a new record brings follows from its rows.
    """
    kept = source.history_of(part)
    if kept is None or not kinds & KNOWN:
        return
    own_key = [name for name in part.key if name not in whole.key]
    if "changed" in kinds:
        yield _store(source, whole, kept)
    yield _held(whole, part, kept, own_key)
    if "late" in kinds:
        # What is interrupted by a late version goes on after it.
        yield f"""
            INSERT INTO {kept.qualified} ({names([*part.content, "_extra"])}, {OWN})
            SELECT
                {names([*part.content, "_extra"], "stored")},
                following, held.valid_to, 0, $run_id, $loaded_at
            FROM {kept.qualified} AS stored JOIN held ON {equal(kept.key, "stored", "held")}
            WHERE {ENDS} AND {among("valid_from", f"held WHERE {ENDS}")}
                AND following IS NOT NULL AND coalesce(following < held.valid_to, true)"""
    yield f"""
        UPDATE {kept.qualified} AS stored
        SET valid_to = held.version, _run_id = $run_id, _loaded_at = $loaded_at
        FROM held
        WHERE {ENDS} AND {equal(kept.key, "stored", "held")}
            AND {among("valid_from", f"held WHERE {ENDS}")}"""
    yield f"""
        CREATE OR REPLACE TEMP TABLE known_{part.name} AS
        SELECT
            {RECORD}, {names(own_key)},
            count(*) FILTER (valid_from = version) AS revisions,
            bool_or(covers AND repeated) AS goes_on
        FROM held GROUP BY ALL
        HAVING goes_on OR revisions > 0"""
    yield _open(part, kept, own_key)


def mark(whole: Table, each: Table, kinds: AbstractSet[str]) -> str:
    """Return the expression that says of an incoming row in `outcome` whether its version follows from it.

    It comes after `statements`: what goes on began before, and a second version of one time has a number.
    """
    if "changed" not in kinds:
        return "true"
    if each is whole:
        return "coalesce(outcome.version <> stored_version, true)"
    own_key = names([RECORD, *(name for name in each.key if name not in whole.key)], "incoming")
    known = own_key.replace("incoming.", "known.")
    return f"({own_key}) NOT IN (SELECT ({known}) FROM known_{each.name} AS known)"


def own_content(part: Table) -> list[str]:
    """Return the columns that the part itself fills: not those it takes from the record around it."""
    return [
        name
        for name in part.content
        if not all(path.startswith("/") for path in paths_of(name, part.columns[name]))
        and not part.columns[name].volatile
    ]


def enter_versions(
    source: Source, whole: Table, most_selective: str, kinds: AbstractSet[str]
) -> Iterator[str]:
    """Yield the statements that list the versions in `outcome` that are not listed yet, and note the others.

    The newest version of a record follows from its row.
    """
    versions = source.versions_of(whole)
    if versions is None or not kinds & KNOWN:
        return
    time = quote(whole.version)
    if "changed" in kinds:
        yield _store(source, whole, versions)
    known = f"outcome WHERE {IS_KNOWN}"
    yield f"""
        CREATE OR REPLACE TEMP TABLE listed AS
        SELECT {RECORD}, stored.{time} AS listed_version
        FROM {versions.qualified} AS stored
        JOIN outcome ON {equal(whole.key, "stored", "outcome")}
        WHERE {IS_KNOWN} AND {among(most_selective, known)}
        UNION
        SELECT {RECORD}, stored_version FROM {known}"""
    # Each record that is known, and the time of its next version, if it has one.
    yield f"""
        CREATE OR REPLACE TEMP TABLE moments AS
        SELECT
            outcome.{RECORD}, {names(whole.key, "outcome")}, version,
            min(listed_version) FILTER (kind = 'late' AND listed_version > version) AS following
        FROM outcome LEFT JOIN listed USING ({RECORD})
        WHERE {IS_KNOWN}
        GROUP BY ALL"""
    if "late" in kinds:
        yield f"""
            INSERT INTO {versions.qualified} ({names([*whole.key, whole.version, *LINEAGE])})
            SELECT {names(whole.key)}, version, $run_id, $loaded_at
            FROM outcome
            WHERE kind = 'late'
                AND ({RECORD}, version) NOT IN (SELECT ({RECORD}, listed_version) FROM listed)"""


def end(source: Source, whole: Table) -> Iterator[str]:
    """Yield the statements that end all versions of the rows in `outcome`, before these are taken away."""
    kept = [source.versions_of(whole), *map(source.history_of, source.parts_of(whole))]
    for each in filter(None, kept):
        yield _store(source, whole, each)
        if each.declared.history_of:
            yield f"""
                UPDATE {each.qualified} AS stored
                SET valid_to = greatest(valid_from, $loaded_at), _run_id = $run_id, _loaded_at = $loaded_at
                FROM outcome
                WHERE valid_to IS NULL AND {equal(whole.key, "stored", "outcome")}"""


def begin_again(source: Source, whole: Table, most_selective: str) -> Iterator[str]:
    """Yield the statements that let what was taken away and is new again begin at its time only once.

    What follows from its rows takes the place of what was kept of them, and what held longer ends there.
    """
    versions, new = source.versions_of(whole), "outcome WHERE kind = 'inserted'"
    if versions is None:
        return
    time = quote(whole.version)
    yield f"""
        DELETE FROM {versions.qualified} AS stored USING (FROM {new}) AS outcome
        WHERE {among(most_selective, new)} AND {equal(whole.key, "stored", "outcome")}
            AND stored.{time} = outcome.version"""
    for part in source.parts_of(whole):
        kept = source.history_of(part)
        if kept is not None:
            own_key = [name for name in part.key if name not in whole.key]
            yield f"""
                DELETE FROM {kept.qualified} AS stored USING (
                    SELECT outcome.*, {names(own_key, "incoming")}
                    FROM (FROM {new}) AS outcome JOIN incoming_{part.name} AS incoming USING ({RECORD})
                ) AS outcome
                WHERE {among(most_selective, new)} AND {equal(part.key, "stored", "outcome")}
                    AND stored.valid_from = outcome.version"""
            yield f"""
                UPDATE {kept.qualified} AS stored
                SET valid_to = outcome.version, _run_id = $run_id, _loaded_at = $loaded_at
                FROM (FROM {new}) AS outcome
                WHERE {among(most_selective, new)} AND {equal(whole.key, "stored", "outcome")}
                    AND stored.valid_from <= outcome.version AND stored.valid_to > outcome.version"""


def _store(source: Source, whole: Table, kept: Table) -> str:
    """Insert the versions that follow from rows which are about to be replaced."""
    origin, values = derived(source, kept)
    time = time_of_whole(whole, origin)
    changed = "outcome WHERE kind = 'changed'"
    return f"""
        INSERT INTO {kept.qualified} ({names(values)})
        WITH near AS MATERIALIZED (
            FROM {origin.qualified} AS stored
            WHERE {quote(MARK)} AND {among(time, changed, "stored_version")}
        )
        SELECT {", ".join(values.values())}
        FROM near SEMI JOIN (FROM {changed}) AS outcome USING ({names(whole.key)})"""


def _held(whole: Table, part: Table, kept: Table, own_key: list[str]) -> str:
    """Return the history of the records that are known.

    Which rows hold at the new version, and which it repeats.

    A row of the history begins at a version that is listed: by time little of the table is looked at.
    """
    content = plain([*own_content(part), "_extra"], part)
    return f"""
        CREATE OR REPLACE TEMP TABLE held AS
        WITH near AS MATERIALIZED (
            FROM {kept.qualified} AS stored WHERE {among("valid_from", "listed", "listed_version")}
        )
        SELECT
            moments.{RECORD},
            {names(kept.key, "near")},
            near.valid_to,
            moments.version,
            moments.following,
            near.valid_from <= version AND coalesce(near.valid_to > version, true) AS covers,
            incoming.{RECORD} IS NOT NULL AS repeated
        FROM near
        JOIN moments ON {equal(whole.key, "near", "moments")}
        LEFT JOIN incoming_{part.name} AS incoming
            ON incoming.{RECORD} = moments.{RECORD}
            AND {equal(own_key, "incoming", "near")}
            AND {same(content, "incoming", "near")}"""


def _open(part: Table, kept: Table, own_key: list[str]) -> str:
    """Insert what a version of a known record brings and what did not hold before it.

    Of the newest version only what differs from what follows from its rows: a revision.
    """
    return f"""
        INSERT INTO {kept.qualified} ({names([*part.content, "_extra"])}, {OWN})
        SELECT
            {names([*part.content, "_extra"], "incoming")},
            moments.version,
            moments.following,
            coalesce(revisions, 0),
            $run_id,
            $loaded_at
        FROM incoming_{part.name} AS incoming
        JOIN moments USING ({RECORD})
        LEFT JOIN known_{part.name} AS known
            ON known.{RECORD} = incoming.{RECORD} AND {equal(own_key, "known", "incoming")}
        WHERE NOT coalesce(goes_on, false) AND (following IS NOT NULL OR revisions > 0)"""

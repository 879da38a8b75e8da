"""Keep every version of a part: from when to when it held, by the times of the record it belongs to.

A record's version at time `version` says which parts held from then on, until the next version known
(`following`; NULL for the newest). It closes what it does not repeat and opens what it brings. A version
that arrives late does so in the middle: what it interrupts goes on after it. Versions that share one time
are numbered by `revision`; all but the last of them held for no time at all.
"""

from collections.abc import Iterator

from etl.load.sql import equal, names, plain, same
from etl.schema import Table, quote
from etl.transform.flatten import RECORD
from etl.transform.shape import paths_of

OWN = "valid_from, valid_to, revision, _run_id, _loaded_at"
"""The columns that a history has besides those of the part."""


def statements(whole: Table, part: Table, kept: Table, versions: Table) -> Iterator[str]:
    """The statements that take the parts in `outcome` into their history, before the tables change.

    Those that name `$run_id` and `$loaded_at` want them as parameters.
    """
    own_key = [name for name in part.key if name not in whole.key]
    content = plain([*own_content(part), "_extra"], part)
    yield _moments(whole, versions)
    yield _covering(whole, part, kept, own_key, content)
    # What is interrupted by a late version goes on after it.
    yield f"""
        INSERT INTO {kept.qualified} ({names([*part.content, "_extra"])}, {OWN})
        SELECT
            {names([*part.content, "_extra"], "kept")},
            following, covering.valid_to, 0, $run_id, $loaded_at
        FROM {kept.qualified} AS kept JOIN covering ON kept.rowid = covering.row_id
        WHERE NOT repeated AND following IS NOT NULL AND coalesce(following < covering.valid_to, true)"""
    yield f"""
        UPDATE {kept.qualified} AS kept
        SET valid_to = covering.version, _run_id = $run_id, _loaded_at = $loaded_at
        FROM covering WHERE kept.rowid = covering.row_id AND NOT repeated"""
    yield _open(whole, part, kept, own_key)


def own_content(part: Table) -> list[str]:
    """The columns that the part itself fills: not those it takes from the record around it."""
    return [
        name
        for name in part.content
        if not all(path.startswith("/") for path in paths_of(name, part.columns[name]))
        and not part.columns[name].volatile
    ]


def enter_versions(whole: Table, versions: Table) -> str:
    """The statement that lists the versions in `outcome` that are not listed yet."""
    time = quote(whole.version)
    return f"""
        INSERT INTO {versions.qualified} ({names(whole.key)}, {time}, _run_id, _loaded_at)
        SELECT {names(whole.key, "outcome")}, version, $run_id, $loaded_at
        FROM outcome
        WHERE kind IN ('inserted', 'changed', 'late')
            AND NOT EXISTS (
                FROM {versions.qualified} AS listed
                WHERE {equal(whole.key, "listed", "outcome")} AND listed.{time} = outcome.version
            )"""


def _moments(whole: Table, versions: Table) -> str:
    """Each record that matters to the history, and the time of its next version, if it has one."""
    time = quote(whole.version)
    return f"""
        CREATE OR REPLACE TEMP TABLE moments AS
        SELECT {RECORD}, kind, {names(whole.key, "outcome")}, version, following
        FROM outcome
        LEFT JOIN (
            SELECT {RECORD}, min(listed.{time}) AS following
            FROM outcome JOIN {versions.qualified} AS listed ON {equal(whole.key, "listed", "outcome")}
            WHERE kind = 'late' AND listed.{time} > version
            GROUP BY {RECORD}
        ) USING ({RECORD})
        WHERE kind IN ('inserted', 'changed', 'late')"""


def _covering(whole: Table, part: Table, kept: Table, own_key: list[str], content: dict[str, bool]) -> str:
    """The rows of the history that held at the time of a version, and whether the version repeats them."""
    return f"""
        CREATE OR REPLACE TEMP TABLE covering AS
        SELECT
            kept.rowid AS row_id,
            moments.{RECORD},
            {names(own_key, "kept")},
            kept.valid_to,
            moments.version,
            moments.following,
            incoming.{RECORD} IS NOT NULL AS repeated
        FROM {kept.qualified} AS kept
        JOIN moments ON {equal(whole.key, "kept", "moments")}
        LEFT JOIN incoming_{part.name} AS incoming
            ON incoming.{RECORD} = moments.{RECORD}
            AND {equal(own_key, "incoming", "kept")}
            AND {same(content, "incoming", "kept")}
        WHERE kind <> 'inserted'
            AND kept.valid_from <= moments.version
            AND coalesce(kept.valid_to > moments.version, true)"""


def _open(whole: Table, part: Table, kept: Table, own_key: list[str]) -> str:
    """Insert what a version brings and what did not hold before it."""
    key = [*whole.key, *own_key]
    return f"""
        INSERT INTO {kept.qualified} ({names([*part.content, "_extra"])}, {OWN})
        SELECT
            {names([*part.content, "_extra"], "incoming")},
            moments.version,
            moments.following,
            coalesce(taken.revisions, 0),
            $run_id,
            $loaded_at
        FROM incoming_{part.name} AS incoming
        JOIN moments USING ({RECORD})
        LEFT JOIN (
            SELECT {names(key, "kept")}, kept.valid_from, count(*) AS revisions
            FROM {kept.qualified} AS kept
            JOIN moments ON {equal(whole.key, "kept", "moments")} AND kept.valid_from = moments.version
            WHERE kind <> 'inserted'
            GROUP BY ALL
        ) AS taken ON {equal(key, "taken", "incoming")} AND taken.valid_from = moments.version
        WHERE NOT EXISTS (
                FROM covering
                WHERE repeated
                    AND covering.{RECORD} = incoming.{RECORD}
                    AND {equal(own_key, "covering", "incoming")}
            )"""

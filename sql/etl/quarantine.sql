-- Put a refused record or file aside, unless the same content has been refused before; returns its id when it is new.
INSERT INTO etl.quarantine BY NAME
SELECT
    $quarantine_id AS quarantine_id,
    $run_id AS run_id,
    $kind AS kind,
    $source AS source,
    $stream AS stream,
    $partition AS partition,
    $reason AS reason,
    $path AS path,
    $record AS record,
    $encoding AS encoding,
    $context AS context,
    'open' AS state,
    $seen_at AS seen_at
WHERE NOT EXISTS (FROM etl.quarantine WHERE quarantine_id = $quarantine_id)
RETURNING quarantine_id

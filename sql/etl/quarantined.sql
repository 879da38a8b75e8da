-- What is known of refused records and files but for their content, the newest last; all, or those with these ids.
SELECT
    quarantine_id,
    run_id,
    kind,
    source,
    stream,
    partition,
    reason,
    path,
    encoding,
    state,
    epoch_us(quarantine.seen_at) AS seen_us
FROM etl.quarantine
WHERE len($ids) = 0
    OR quarantine_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))
ORDER BY quarantine.seen_at, quarantine_id

-- Cursors of applications that are beyond the newest version that was ever stored of them. Of an application of which
-- anything was refused, nobody knows: what was refused may be newer.
SELECT
    cursors.stream,
    cursors.partition,
    CAST(cursors.cursor_at AS VARCHAR) AS cursor_at,
    CAST(max(results.updated_at) AS VARCHAR) AS newest
FROM etl.cursors AS cursors
LEFT JOIN cogniac.results AS results ON results.application_id = cursors.partition
WHERE cursors.source = 'cogniac'
    AND cursors.stream = 'detections'
    AND NOT EXISTS (
        FROM etl.quarantine AS refused
        WHERE refused.source = cursors.source
            AND refused.stream = cursors.stream
            AND refused.partition = cursors.partition
    )
GROUP BY cursors.stream, cursors.partition, cursors.cursor_at
HAVING coalesce(cursors.cursor_at > max(results.updated_at), true)
ORDER BY cursors.partition

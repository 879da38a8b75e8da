-- Whether the gaps that were found differ from those listed, or the time has come to count another attempt.
SELECT
    EXISTS (
        FROM missing
        LEFT JOIN etl.gaps AS kept USING (source, stream, key)
        WHERE kept.source IS NULL
            OR kept.next_at <= $since
            OR kept.next_at > $since + INTERVAL 1 DAY
    )
    OR EXISTS (
        FROM etl.gaps AS kept
        ANTI JOIN missing USING (source, stream, key)
        WHERE kept.source = $source
    )

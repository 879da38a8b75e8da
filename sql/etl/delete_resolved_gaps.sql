-- Forget the gaps of a source that are gaps no longer.
DELETE FROM etl.gaps AS kept
WHERE kept.source = $source
    AND NOT EXISTS (
        FROM missing
        WHERE missing.source = kept.source AND missing.stream = kept.stream AND missing.key = kept.key
    )

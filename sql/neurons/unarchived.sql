-- Media with pictures and films that are wanted in the archive and are not there, the newest first, from a time and an
-- id on: the time of creation in microseconds since 1970, the medium, the files. What failed waits until its next
-- attempt is due; a pause of more than a day was set by a clock that was ahead, and is over.
WITH clock AS (
    SELECT make_timestamptz(CAST($now_us AS BIGINT)) AS now
)

SELECT
    coalesce(epoch_us(media.created_at), 0) AS created_us,
    media.media_id,
    list(assets.asset ORDER BY assets.asset) AS names
FROM neurons.assets AS assets
JOIN neurons.media AS media USING (media_id)
CROSS JOIN clock
LEFT JOIN etl.gaps AS gaps
    ON gaps.source = 'neurons'
    AND gaps.stream = 'assets'
    AND gaps.key = assets.media_id || '/' || assets.asset
WHERE assets.state = 'skipped'
    AND media.deleted_at IS NULL
    AND (CAST($all_wanted AS BOOLEAN) OR list_contains(CAST($wanted AS VARCHAR[]), assets.asset))
    AND (
        coalesce(epoch_us(media.created_at), 0) < $before_us
        OR (coalesce(epoch_us(media.created_at), 0) = $before_us AND media.media_id < $before_id)
    )
    AND coalesce(gaps.next_at <= clock.now OR gaps.next_at > clock.now + INTERVAL 1 DAY, TRUE)
GROUP BY ALL
ORDER BY created_us DESC, media_id DESC
LIMIT $most

-- What is stored of these media: their states, their last change, the files that need not be fetched again or not
-- yet, whether they were found to be gone, and which files are archived. No pause is longer than a day: a longer one was set by a clock that was
-- ahead, and is over. A file that was fetched within seconds of the last change may be the one from before: the API
-- tells times in whole seconds, and its clock is not this one.
WITH clock AS (
    SELECT make_timestamptz(CAST($now_us AS BIGINT)) AS now
)

SELECT
    media.media_id,
    media.status,
    media.aoi_status,
    epoch_us(media.updated_at) AS updated_us,
    coalesce(
        list(assets.asset) FILTER (
            WHERE assets.state = 'skipped'
                OR (
                    assets.state IN ('loaded', 'archived')
                    AND coalesce(abs(epoch(assets.fetched_at) - epoch(media.updated_at)) > 10, true)
                )
                OR (gaps.next_at > clock.now AND gaps.next_at <= clock.now + INTERVAL 1 DAY)
        ),
        []
    ) AS settled,
    media.deleted_at IS NOT NULL AS deleted,
    coalesce(
        list(assets.asset) FILTER (WHERE assets.state = 'archived' AND assets.archive_path IS NOT NULL),
        []
    ) AS archived
FROM neurons.media AS media
CROSS JOIN clock
LEFT JOIN neurons.assets AS assets USING (media_id)
LEFT JOIN etl.gaps AS gaps
    ON gaps.source = 'neurons'
    AND gaps.stream = 'assets'
    AND gaps.key = assets.media_id || '/' || assets.asset
WHERE media.media_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))
GROUP BY ALL

-- Media with sizes that are wanted in the archive and are not there, the newest first, from a time and an id on: the
-- time of creation in microseconds since 1970, the medium, its sizes with the links that are stored. What failed waits
-- until its next attempt is due; a pause of more than a day was set by a clock that was ahead, and is over. What Cogniac
-- did not have is looked for again once the medium has changed. Media that came in part only, beside others, are none.
WITH clock AS (
    SELECT make_timestamptz(CAST($now_us AS BIGINT)) AS now
)

SELECT
    coalesce(epoch_us(media.created_at), 0) AS created_us,
    media.media_id,
    list(
        {
            'size': wanted.size,
            'link': CASE wanted.size
                WHEN 'original' THEN media.media_url
                ELSE coalesce(
                    json_extract_string(media.resize_urls, '$."' || wanted.size || '"'),
                    json_extract_string(media.media_resize_urls, '$."' || wanted.size || '"')
                )
            END
        }
        ORDER BY wanted.size
    ) AS sizes
FROM cogniac.media AS media
CROSS JOIN clock
CROSS JOIN (SELECT unnest(CAST($sizes AS VARCHAR[])) AS size) AS wanted
LEFT JOIN cogniac.media_files AS files
    ON files.media_id = media.media_id
    AND files.rendition = wanted.size
LEFT JOIN etl.gaps AS gaps
    ON gaps.source = 'cogniac'
    AND gaps.stream = 'media_files'
    AND gaps.key = media.media_id || '/' || wanted.size
WHERE media.created_at IS NOT NULL
    AND (
        files.media_id IS NULL
        OR (files.state = 'absent' AND media._loaded_at > files._loaded_at)
        OR (
            files.state = 'missing'
            AND coalesce(gaps.next_at <= clock.now OR gaps.next_at > clock.now + INTERVAL 1 DAY, TRUE)
        )
    )
    AND (
        coalesce(epoch_us(media.created_at), 0) < $before_us
        OR (coalesce(epoch_us(media.created_at), 0) = $before_us AND media.media_id < $before_id)
    )
GROUP BY ALL
ORDER BY created_us DESC, media.media_id DESC
LIMIT $most

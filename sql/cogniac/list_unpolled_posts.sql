-- Enter as gaps the posts that polling should show by now and does not; of applications that could not be read,
-- nothing is known. A time that is yet to come puts that off by no more than a day.
MERGE INTO etl.gaps AS kept
USING (
    SELECT
        'cogniac' AS source,
        'postbacks' AS stream,
        post_id || ' ' || subject_index AS key,
        'the assertion on ' || subject_uid || ' in ' || media_id || ' that was posted' AS what,
        $now AS since,
        1 AS attempts,
        $now AS next_at,
        'polling does not show it' AS error
    FROM cogniac.postbacks
    WHERE polled_at IS NULL
        AND NOT coalesce(list_contains(CAST($unread AS VARCHAR[]), application_id), len($unread) > 0)
        AND least(greatest(updated_at, received_at), _loaded_at + INTERVAL 1 DAY)
            < make_timestamptz(CAST($before_us AS BIGINT))
) AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.key = now.key)
WHEN NOT MATCHED THEN INSERT BY NAME

-- At which second of each video does attention fall most?
-- Attention is the metric focus, as a mean per second; the fall is measured from one second to the next one.
-- Of equal falls the first counts. Videos without times, of one second only, or whose focus never falls are
-- left out, as are deleted ones.
--
--   media_id      Video that loses attention.
--   media_name    Name of the file the video came in.
--   asset         File of results the focus comes from; a video has one row for each file that holds its
--                 focus.
--   second        Second of the video with the largest fall, counted from 0.
--   focus_drop    By how much focus is lower than in the second before, in the scale of the file.
--   focus_before  Mean focus of the second before.
--   focus_after   Mean focus of this second.
WITH seconds AS (
    SELECT
        media_id,
        asset,
        CAST(floor(time_s) AS BIGINT) AS second,
        avg(value) AS focus
    FROM neurons.frame_metrics
    WHERE metric = 'focus'
        AND time_s IS NOT NULL
        AND value IS NOT NULL
    GROUP BY
        media_id,
        asset,
        CAST(floor(time_s) AS BIGINT)
),
neighbours AS (
    SELECT
        media_id,
        asset,
        second,
        focus,
        lag(second) OVER (PARTITION BY media_id, asset ORDER BY second) AS second_before,
        lag(focus) OVER (PARTITION BY media_id, asset ORDER BY second) AS focus_before
    FROM seconds
),
falls AS (
    SELECT
        media_id,
        asset,
        second,
        focus,
        focus_before,
        row_number() OVER (PARTITION BY media_id, asset ORDER BY focus_before - focus DESC, second) AS place
    FROM neighbours
    WHERE second_before = second - 1
        AND focus < focus_before
)
SELECT
    falls.media_id,
    media.name AS media_name,
    falls.asset,
    falls.second,
    falls.focus_before - falls.focus AS focus_drop,
    falls.focus_before,
    falls.focus AS focus_after
FROM falls
JOIN neurons.media AS media ON media.media_id = falls.media_id
WHERE falls.place = 1
    AND media.deleted_at IS NULL

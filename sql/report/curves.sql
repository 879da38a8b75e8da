-- How do the metrics of the latest videos run from second to second?
-- The 12 curves of each video that has a page of its own, those of focus first; "curves" says of how many. Positions are seconds, or frames where no times are known.
-- A curve has 300 points at most: those of longer videos are means over several seconds (or frames), as many as step says.
WITH placed AS (
    SELECT
        curves.media_id,
        curves.asset,
        curves.metric,
        curves.second IS NULL AS by_frame,
        coalesce(curves.second, curves.first_frame) AS position,
        curves.mean_value,
        curves.frames
    FROM mart.frame_curves AS curves
    JOIN report_videos AS latest ON latest.media_id = curves.media_id
),
stepped AS (
    SELECT
        media_id,
        asset,
        metric,
        by_frame,
        position,
        mean_value,
        frames,
        1 + (
            max(position) OVER (PARTITION BY media_id, asset, metric, by_frame)
            - min(position) OVER (PARTITION BY media_id, asset, metric, by_frame)
        ) // 300 AS step
    FROM placed
),
points AS (
    SELECT
        media_id,
        asset,
        metric,
        by_frame,
        step,
        position // step * step AS position,
        sum(mean_value * frames) / nullif(sum(frames), 0) AS value
    FROM stepped
    GROUP BY
        media_id,
        asset,
        metric,
        by_frame,
        step,
        position // step * step
),
drawn AS (
    SELECT
        media_id,
        asset,
        metric,
        by_frame,
        step,
        list(position ORDER BY position) AS positions,
        list(round(value, 3) ORDER BY position) AS values
    FROM points
    GROUP BY
        media_id,
        asset,
        metric,
        by_frame,
        step
),
placed_curves AS (
    SELECT
        media_id,
        asset,
        metric,
        by_frame,
        step,
        positions,
        values,
        row_number() OVER (
            PARTITION BY media_id
            ORDER BY metric <> 'focus', asset DESC, metric, by_frame
        ) AS place,
        count(*) OVER (PARTITION BY media_id) AS curves
    FROM drawn
)
SELECT
    media_id,
    asset,
    metric,
    by_frame,
    step,
    positions,
    values,
    curves
FROM placed_curves
WHERE place <= 12
ORDER BY
    media_id,
    place

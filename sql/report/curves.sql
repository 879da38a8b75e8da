-- How do the metrics of the latest videos run from second to second?
-- The 50 videos handed in last of those with metrics per frame. Positions are seconds, or frames where no times are known.
-- A curve has 300 points at most: those of longer videos are means over several seconds (or frames), as many as step says.
WITH latest AS (
    SELECT
        media_id,
        name,
        created_at,
        count(*) OVER () AS videos
    FROM neurons.media
    WHERE deleted_at IS NULL
        AND media_id IN (SELECT media_id FROM neurons.frame_metrics)
    ORDER BY
        created_at DESC,
        media_id
    LIMIT 50
),
placed AS (
    SELECT
        media_id,
        asset,
        metric,
        second IS NULL AS by_frame,
        coalesce(second, first_frame) AS position,
        mean_value,
        frames
    FROM mart.frame_curves
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
        1 + max(position) OVER (PARTITION BY media_id, asset, metric, by_frame) // 300 AS step
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
)
SELECT
    latest.media_id,
    coalesce(latest.name, latest.media_id) AS video,
    latest.created_at,
    points.asset,
    points.metric,
    points.by_frame,
    points.step,
    list(points.position ORDER BY points.position) AS positions,
    list(round(points.value, 3) ORDER BY points.position) AS values,
    latest.videos
FROM latest
JOIN points ON points.media_id = latest.media_id
GROUP BY
    latest.media_id,
    latest.name,
    latest.created_at,
    latest.videos,
    points.asset,
    points.metric,
    points.by_frame,
    points.step
ORDER BY
    latest.created_at DESC,
    latest.media_id,
    points.metric <> 'focus',
    points.asset DESC,
    points.metric

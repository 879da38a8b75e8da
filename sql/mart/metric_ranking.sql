-- How does each image or video compare with the others of its kind?
-- One row per value in neurons.media_metrics; images are compared with images and videos with videos. Deleted
-- media are left out, and a high value is not always the better one.
--
--   media_id     Image or video the value is about.
--   media_name   Name of its file.
--   media_type   Kind of media it is compared with: image or video.
--   metric       Name of the metric.
--   time_window  What the value covers: total, start (first two seconds) or end (last two seconds).
--   value        Value of the metric, in percent.
--   media_count  Number of media of this kind with a value.
--   value_rank   Place of the value among them, from 1 for the highest; equal values share a place.
--   percentile   Share of the other media with a lower value, from 0 to 100; NULL where there are no others.
SELECT
    metrics.media_id,
    media.name AS media_name,
    media.type AS media_type,
    metrics.metric,
    metrics.time_window,
    metrics.value,
    count(*) OVER (PARTITION BY media.type, metrics.metric, metrics.time_window) AS media_count,
    rank() OVER (
        PARTITION BY media.type, metrics.metric, metrics.time_window
        ORDER BY metrics.value DESC
    ) AS value_rank,
    CASE
        WHEN count(*) OVER (PARTITION BY media.type, metrics.metric, metrics.time_window) > 1
        THEN 100 * percent_rank() OVER (
            PARTITION BY media.type, metrics.metric, metrics.time_window
            ORDER BY metrics.value
        )
    END AS percentile
FROM neurons.media_metrics AS metrics
JOIN neurons.media AS media ON media.media_id = metrics.media_id
WHERE media.deleted_at IS NULL
    AND metrics.value IS NOT NULL

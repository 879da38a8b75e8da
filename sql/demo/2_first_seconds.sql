-- Which videos hold the attention of their first two seconds to the end?
SELECT
    media.name AS video,
    round(max(metrics.value) FILTER (metrics.time_window = 'start'), 1) AS focus_at_start,
    round(max(metrics.value) FILTER (metrics.time_window = 'end'), 1) AS focus_at_end,
    round(focus_at_end - focus_at_start, 1) AS change
FROM neurons.media_metrics AS metrics
JOIN neurons.media AS media USING (media_id)
WHERE media.type = 'video' AND metrics.metric = 'focus'
GROUP BY media.media_id, media.name
ORDER BY change DESC NULLS LAST
LIMIT 5

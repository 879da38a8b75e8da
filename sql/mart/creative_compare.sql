-- How do images and videos compare, and what do they look like?
-- One row per medium that is not deleted: its headline metrics over the whole of it, at its start and at its
-- end side by side, where each stands among the media of its type and month, and where its pictures are in
-- the archive (SIGHTGLASS_NEURONS_ARCHIVE).
--
--   media_id                     Neurons' id of the image or video.
--   media_name                   Name of the file.
--   media_type                   image or video.
--   status                       State of the prediction, such as done.
--   created_at                   When the image or video was handed in.
--   focus                        Focus, in percent.
--   cognitive_demand             Cognitive demand, in percent.
--   engagement                   Engagement (engagement_new), in percent.
--   memory                       Memory, in percent.
--   intent                       Intent, in percent.
--   trust                        Trust, in percent.
--   avoidance                    Avoidance, in percent; a low value is the better one.
--   thumbnail_path               Picture to show it by, below the folder or the prefix of the archive: the
--                                image itself (formatted), else its heat map, else any other picture of it;
--                                NULL where none is archived.
--   thumbnail_bytes              Size of that picture.
--   heat_path                    Heat map of attention, a picture or film, likewise; NULL where it is not
--                                archived.
--   fog_path                     The same, of what is not looked at as fog.
--   archived_files               How many of its pictures and films are archived.
--   month                        First day of the month in which it was handed in, in the time zone that
--                                mart.settings names.
--   focus_start                  Focus in the first two seconds, in percent; of images for focus alone.
--   focus_end                    Focus in the last two seconds, likewise.
--   focus_percentile             Share of the other media of its type and month with a lower focus, from 0
--                                to 100; NULL where there are no others.
--   cognitive_demand_start       Cognitive demand in the first two seconds, in percent; of images for focus
--                                alone.
--   cognitive_demand_end         Cognitive demand in the last two seconds, likewise.
--   cognitive_demand_percentile  Share of the other media of its type and month with a lower cognitive
--                                demand, from 0 to 100; NULL where there are no others.
--   engagement_start             Engagement in the first two seconds, in percent; of images for focus
--                                alone.
--   engagement_end               Engagement in the last two seconds, likewise.
--   engagement_percentile        Share of the other media of its type and month with a lower engagement,
--                                from 0 to 100; NULL where there are no others.
--   memory_start                 Memory in the first two seconds, in percent; of images for focus alone.
--   memory_end                   Memory in the last two seconds, likewise.
--   memory_percentile            Share of the other media of its type and month with a lower memory, from 0
--                                to 100; NULL where there are no others.
--   intent_start                 Intent in the first two seconds, in percent; of images for focus alone.
--   intent_end                   Intent in the last two seconds, likewise.
--   intent_percentile            Share of the other media of its type and month with a lower intent, from 0
--                                to 100; NULL where there are no others.
--   trust_start                  Trust in the first two seconds, in percent; of images for focus alone.
--   trust_end                    Trust in the last two seconds, likewise.
--   trust_percentile             Share of the other media of its type and month with a lower trust, from 0
--                                to 100; NULL where there are no others.
--   avoidance_start              Avoidance in the first two seconds, in percent; of images for focus alone.
--   avoidance_end                Avoidance in the last two seconds, likewise.
--   avoidance_percentile         Share of the other media of its type and month with a lower avoidance,
--                                from 0 to 100; NULL where there are no others.
WITH scores AS (
    SELECT
        media_id,
        max(value) FILTER (WHERE metric = 'focus' AND time_window = 'total') AS focus,
        max(value) FILTER (WHERE metric = 'cognitive_demand' AND time_window = 'total') AS cognitive_demand,
        max(value) FILTER (WHERE metric = 'engagement_new' AND time_window = 'total') AS engagement,
        max(value) FILTER (WHERE metric = 'memory' AND time_window = 'total') AS memory,
        max(value) FILTER (WHERE metric = 'intent' AND time_window = 'total') AS intent,
        max(value) FILTER (WHERE metric = 'trust' AND time_window = 'total') AS trust,
        max(value) FILTER (WHERE metric = 'avoidance' AND time_window = 'total') AS avoidance,
        max(value) FILTER (WHERE metric = 'focus' AND time_window = 'start') AS focus_start,
        max(value) FILTER (WHERE metric = 'cognitive_demand' AND time_window = 'start') AS cognitive_demand_start,
        max(value) FILTER (WHERE metric = 'engagement_new' AND time_window = 'start') AS engagement_start,
        max(value) FILTER (WHERE metric = 'memory' AND time_window = 'start') AS memory_start,
        max(value) FILTER (WHERE metric = 'intent' AND time_window = 'start') AS intent_start,
        max(value) FILTER (WHERE metric = 'trust' AND time_window = 'start') AS trust_start,
        max(value) FILTER (WHERE metric = 'avoidance' AND time_window = 'start') AS avoidance_start,
        max(value) FILTER (WHERE metric = 'focus' AND time_window = 'end') AS focus_end,
        max(value) FILTER (WHERE metric = 'cognitive_demand' AND time_window = 'end') AS cognitive_demand_end,
        max(value) FILTER (WHERE metric = 'engagement_new' AND time_window = 'end') AS engagement_end,
        max(value) FILTER (WHERE metric = 'memory' AND time_window = 'end') AS memory_end,
        max(value) FILTER (WHERE metric = 'intent' AND time_window = 'end') AS intent_end,
        max(value) FILTER (WHERE metric = 'trust' AND time_window = 'end') AS trust_end,
        max(value) FILTER (WHERE metric = 'avoidance' AND time_window = 'end') AS avoidance_end
    FROM neurons.media_metrics
    GROUP BY media_id
),

files AS (
    SELECT
        media_id,
        asset,
        archive_path,
        bytes,
        row_number() OVER (
            PARTITION BY media_id
            ORDER BY
                content_type NOT LIKE 'image/%',
                CASE asset WHEN 'formatted' THEN 0 WHEN 'heat' THEN 1 ELSE 2 END,
                asset
        ) AS place,
        content_type LIKE 'image/%' AS is_still
    FROM neurons.assets
    WHERE state = 'archived' AND archive_path IS NOT NULL
),

pictures AS (
    SELECT
        media_id,
        max(archive_path) FILTER (WHERE place = 1 AND is_still) AS thumbnail_path,
        max(bytes) FILTER (WHERE place = 1 AND is_still) AS thumbnail_bytes,
        max(archive_path) FILTER (WHERE asset = 'heat') AS heat_path,
        max(archive_path) FILTER (WHERE asset = 'fog') AS fog_path,
        count(*) AS archived_files
    FROM files
    GROUP BY media_id
),

dated AS (
    SELECT
        media_id,
        name,
        type,
        status,
        created_at,
        CAST(created_at AT TIME ZONE 'UTC' AS DATE) AS day
    FROM neurons.media
    WHERE deleted_at IS NULL
),

media AS (
    SELECT
        media_id,
        name,
        type,
        status,
        created_at,
        CAST(date_trunc('month', day) AS DATE) AS month
    FROM dated
),

totals AS (
    SELECT
        media_id,
        metric,
        max(value) AS value
    FROM neurons.media_metrics
    WHERE time_window = 'total' AND value IS NOT NULL
    GROUP BY media_id, metric
),

ranked AS (
    SELECT
        media.media_id,
        totals.metric,
        rank() OVER (PARTITION BY media.type, media.month, totals.metric ORDER BY totals.value) - 1 AS lower,
        count(*) OVER (PARTITION BY media.type, media.month, totals.metric) - 1 AS others
    FROM media
    INNER JOIN totals ON totals.media_id = media.media_id
),

places AS (
    SELECT
        media_id,
        metric,
        CAST(100 * lower AS DOUBLE) / others AS percentile
    FROM ranked
    WHERE others > 0
),

percentiles AS (
    SELECT
        media_id,
        max(percentile) FILTER (WHERE metric = 'focus') AS focus_percentile,
        max(percentile) FILTER (WHERE metric = 'cognitive_demand') AS cognitive_demand_percentile,
        max(percentile) FILTER (WHERE metric = 'engagement_new') AS engagement_percentile,
        max(percentile) FILTER (WHERE metric = 'memory') AS memory_percentile,
        max(percentile) FILTER (WHERE metric = 'intent') AS intent_percentile,
        max(percentile) FILTER (WHERE metric = 'trust') AS trust_percentile,
        max(percentile) FILTER (WHERE metric = 'avoidance') AS avoidance_percentile
    FROM places
    GROUP BY media_id
)

SELECT
    media.media_id,
    media.name AS media_name,
    media.type AS media_type,
    media.status,
    media.created_at,
    scores.focus,
    scores.cognitive_demand,
    scores.engagement,
    scores.memory,
    scores.intent,
    scores.trust,
    scores.avoidance,
    pictures.thumbnail_path,
    pictures.thumbnail_bytes,
    pictures.heat_path,
    pictures.fog_path,
    coalesce(pictures.archived_files, 0) AS archived_files,
    media.month,
    scores.focus_start,
    scores.focus_end,
    percentiles.focus_percentile,
    scores.cognitive_demand_start,
    scores.cognitive_demand_end,
    percentiles.cognitive_demand_percentile,
    scores.engagement_start,
    scores.engagement_end,
    percentiles.engagement_percentile,
    scores.memory_start,
    scores.memory_end,
    percentiles.memory_percentile,
    scores.intent_start,
    scores.intent_end,
    percentiles.intent_percentile,
    scores.trust_start,
    scores.trust_end,
    percentiles.trust_percentile,
    scores.avoidance_start,
    scores.avoidance_end,
    percentiles.avoidance_percentile
FROM media
LEFT JOIN scores ON scores.media_id = media.media_id
LEFT JOIN percentiles ON percentiles.media_id = media.media_id
LEFT JOIN pictures ON pictures.media_id = media.media_id

-- How do images and videos compare, and what do they look like?
-- One row per medium that is not deleted: its headline metrics over the whole of it side by side, and where its pictures are in the archive (SIGHTGLASS_NEURONS_ARCHIVE).
--
--   media_id          Neurons' id of the image or video.
--   media_name        Name of the file.
--   media_type        image or video.
--   status            State of the prediction, such as done.
--   created_at        When the image or video was handed in.
--   focus             Focus, in percent.
--   cognitive_demand  Cognitive demand, in percent.
--   engagement        Engagement (engagement_new), in percent.
--   memory            Memory, in percent.
--   intent            Intent, in percent.
--   trust             Trust, in percent.
--   avoidance         Avoidance, in percent; a low value is the better one.
--   thumbnail_path    Picture to show it by, below the folder or the prefix of the archive: the image itself (formatted), else its heat map, else any other picture of it; NULL where none is archived.
--   thumbnail_bytes   Size of that picture.
--   heat_path         Heat map of attention, a picture or film, likewise; NULL where it is not archived.
--   fog_path          The same, of what is not looked at as fog.
--   archived_files    How many of its pictures and films are archived.
WITH scores AS (
    SELECT
        media_id,
        max(value) FILTER (WHERE metric = 'focus') AS focus,
        max(value) FILTER (WHERE metric = 'cognitive_demand') AS cognitive_demand,
        max(value) FILTER (WHERE metric = 'engagement_new') AS engagement,
        max(value) FILTER (WHERE metric = 'memory') AS memory,
        max(value) FILTER (WHERE metric = 'intent') AS intent,
        max(value) FILTER (WHERE metric = 'trust') AS trust,
        max(value) FILTER (WHERE metric = 'avoidance') AS avoidance
    FROM neurons.media_metrics
    WHERE time_window = 'total'
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
    coalesce(pictures.archived_files, 0) AS archived_files
FROM neurons.media AS media
LEFT JOIN scores ON scores.media_id = media.media_id
LEFT JOIN pictures ON pictures.media_id = media.media_id
WHERE media.deleted_at IS NULL

-- What does Neurons predict for each image and video?
-- One row per medium, deleted ones left out, a column per metric that is documented; others stay in
-- neurons.media_metrics alone. NULL where the prediction does not hold it: images have a start and an end for
-- focus only. Higher is not always better: avoidance measures rejection, cognitive demand how much there is
-- to take in.
--
--   media_id                Neurons' id of the image or video.
--   media_name              Name of its file.
--   media_type              Kind of media: image or video.
--   status                  State of the prediction, such as started, done or failed.
--   is_complete             Whether the state is final and every JSON and CSV file that is offered has been
--                           loaded.
--   created_at              When it was handed in.
--   updated_at              When the prediction last changed.
--   focus                   Focus, in percent.
--   focus_start             Focus in the first two seconds, in percent.
--   focus_end               Focus in the last two seconds, in percent.
--   cognitive_demand        Cognitive demand, in percent.
--   cognitive_demand_start  Cognitive demand in the first two seconds, in percent.
--   cognitive_demand_end    Cognitive demand in the last two seconds, in percent.
--   engagement_new          Engagement, in percent.
--   engagement_new_start    Engagement in the first two seconds, in percent.
--   engagement_new_end      Engagement in the last two seconds, in percent.
--   memory                  Memory, in percent.
--   memory_start            Memory in the first two seconds, in percent.
--   memory_end              Memory in the last two seconds, in percent.
--   intent                  Intent, in percent.
--   intent_start            Intent in the first two seconds, in percent.
--   intent_end              Intent in the last two seconds, in percent.
--   trust                   Trust, in percent.
--   trust_start             Trust in the first two seconds, in percent.
--   trust_end               Trust in the last two seconds, in percent.
--   avoidance               Avoidance, in percent.
--   avoidance_start         Avoidance in the first two seconds, in percent.
--   avoidance_end           Avoidance in the last two seconds, in percent.
--   clarity                 Clarity, in percent; images only.
--   engagement              Engagement of the older kind, in percent; images only.
WITH scores AS (
    SELECT
        media_id,
        max(value) FILTER (WHERE metric = 'focus' AND time_window = 'total') AS focus,
        max(value) FILTER (WHERE metric = 'focus' AND time_window = 'start') AS focus_start,
        max(value) FILTER (WHERE metric = 'focus' AND time_window = 'end') AS focus_end,
        max(value) FILTER (WHERE metric = 'cognitive_demand' AND time_window = 'total') AS cognitive_demand,
        max(value) FILTER (WHERE metric = 'cognitive_demand' AND time_window = 'start')
            AS cognitive_demand_start,
        max(value) FILTER (WHERE metric = 'cognitive_demand' AND time_window = 'end') AS cognitive_demand_end,
        max(value) FILTER (WHERE metric = 'engagement_new' AND time_window = 'total') AS engagement_new,
        max(value) FILTER (WHERE metric = 'engagement_new' AND time_window = 'start') AS engagement_new_start,
        max(value) FILTER (WHERE metric = 'engagement_new' AND time_window = 'end') AS engagement_new_end,
        max(value) FILTER (WHERE metric = 'memory' AND time_window = 'total') AS memory,
        max(value) FILTER (WHERE metric = 'memory' AND time_window = 'start') AS memory_start,
        max(value) FILTER (WHERE metric = 'memory' AND time_window = 'end') AS memory_end,
        max(value) FILTER (WHERE metric = 'intent' AND time_window = 'total') AS intent,
        max(value) FILTER (WHERE metric = 'intent' AND time_window = 'start') AS intent_start,
        max(value) FILTER (WHERE metric = 'intent' AND time_window = 'end') AS intent_end,
        max(value) FILTER (WHERE metric = 'trust' AND time_window = 'total') AS trust,
        max(value) FILTER (WHERE metric = 'trust' AND time_window = 'start') AS trust_start,
        max(value) FILTER (WHERE metric = 'trust' AND time_window = 'end') AS trust_end,
        max(value) FILTER (WHERE metric = 'avoidance' AND time_window = 'total') AS avoidance,
        max(value) FILTER (WHERE metric = 'avoidance' AND time_window = 'start') AS avoidance_start,
        max(value) FILTER (WHERE metric = 'avoidance' AND time_window = 'end') AS avoidance_end,
        max(value) FILTER (WHERE metric = 'clarity' AND time_window = 'total') AS clarity,
        max(value) FILTER (WHERE metric = 'engagement' AND time_window = 'total') AS engagement
    FROM neurons.media_metrics
    GROUP BY media_id
)
SELECT
    media.media_id,
    media.name AS media_name,
    media.type AS media_type,
    media.status,
    media.is_complete,
    media.created_at,
    media.updated_at,
    scores.focus,
    scores.focus_start,
    scores.focus_end,
    scores.cognitive_demand,
    scores.cognitive_demand_start,
    scores.cognitive_demand_end,
    scores.engagement_new,
    scores.engagement_new_start,
    scores.engagement_new_end,
    scores.memory,
    scores.memory_start,
    scores.memory_end,
    scores.intent,
    scores.intent_start,
    scores.intent_end,
    scores.trust,
    scores.trust_start,
    scores.trust_end,
    scores.avoidance,
    scores.avoidance_start,
    scores.avoidance_end,
    scores.clarity,
    scores.engagement
FROM neurons.media AS media
LEFT JOIN scores ON scores.media_id = media.media_id
WHERE media.deleted_at IS NULL

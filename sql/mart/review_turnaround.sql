-- How long does it take until a person looks at what a model said?
-- One row per application and week in which its models first said something of a result, out of every
-- assertion ever seen: from the first one of a model to the first one of a user that follows it. A capture
-- outside an application is no review. Weeks that are not over yet, or just are, have much that is still to be
-- reviewed: the times are those of what was.
-- Where the model's assertion was replaced before it could be loaded (staging.reviewed_pairs says when that is
-- so), the result is reviewed, in the week of the user's, but after how many hours is not known: no time here
-- holds for it.
--
--   application_id            Application that holds the results.
--   application_name          Name people gave the application.
--   week                      Monday of the week of the first assertion of a model, or of a user where the
--                             model's could not be loaded, in the time zone that mart.settings names.
--   results                   Number of results (media, or regions of them) that a model first spoke of then.
--   reviewed                  Number of these that a user has judged since.
--   reviewed_untimed          Number of the reviewed ones where the model's assertion could not be loaded.
--   not_reviewed              Number of the results that no user has judged.
--   reviewed_within_24_hours  Number of the reviewed ones that a user is known to have judged within 24 hours.
--   median_hours              Median of the hours until the first judgement; NULL where none are known.
--   mean_hours                Their mean.
--   longest_hours             The longest of them.
WITH
-- A user's judgement of what a model said stands for what could not be loaded.
words AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        asserted_at,
        TRUE AS is_loaded
    FROM staging.assertions
    WHERE asserted_by = 'model'
    UNION ALL
    SELECT
        application_id,
        media_id,
        focus_key,
        user_asserted_at AS asserted_at,
        FALSE AS is_loaded
    FROM staging.reviewed_pairs
    WHERE model_detection_id IS NULL
),
firsts AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        min(asserted_at) AS asserted_at,
        coalesce(min(asserted_at) = min(asserted_at) FILTER (WHERE is_loaded), FALSE) AS is_loaded
    FROM words
    GROUP BY
        application_id,
        media_id,
        focus_key
),
reviews AS (
    SELECT
        firsts.application_id,
        firsts.media_id,
        firsts.focus_key,
        min(judgements.asserted_at) AS reviewed_at
    FROM firsts
    JOIN staging.assertions AS judgements
        ON judgements.application_id = firsts.application_id
        AND judgements.media_id = firsts.media_id
        AND judgements.focus_key = firsts.focus_key
        AND judgements.asserted_at >= firsts.asserted_at
    WHERE judgements.asserted_by = 'user'
        AND firsts.is_loaded
    GROUP BY
        firsts.application_id,
        firsts.media_id,
        firsts.focus_key
),
dated AS (
    SELECT
        firsts.application_id,
        firsts.is_loaded,
        CAST(firsts.asserted_at AT TIME ZONE 'UTC' AS DATE) AS day,
        (extract(EPOCH FROM reviews.reviewed_at) - extract(EPOCH FROM firsts.asserted_at)) / 3600 AS hours
    FROM firsts
    LEFT JOIN reviews
        ON reviews.application_id = firsts.application_id
        AND reviews.media_id = firsts.media_id
        AND reviews.focus_key = firsts.focus_key
),
weekly AS (
    SELECT
        application_id,
        CAST(date_trunc('week', day) AS DATE) AS week,
        is_loaded,
        hours
    FROM dated
),
counted AS (
    SELECT
        application_id,
        week,
        count(*) AS results,
        count(*) FILTER (WHERE hours IS NOT NULL OR NOT is_loaded) AS reviewed,
        count(*) FILTER (WHERE NOT is_loaded) AS reviewed_untimed,
        count(*) FILTER (WHERE hours <= 24) AS reviewed_within_24_hours,
        median(hours) AS median_hours,
        avg(hours) AS mean_hours,
        max(hours) AS longest_hours
    FROM weekly
    GROUP BY
        application_id,
        week
)
SELECT
    counted.application_id,
    applications.name AS application_name,
    counted.week,
    counted.results,
    counted.reviewed,
    counted.reviewed_untimed,
    counted.results - counted.reviewed AS not_reviewed,
    counted.reviewed_within_24_hours,
    counted.median_hours,
    counted.mean_hours,
    counted.longest_hours
FROM counted
LEFT JOIN cogniac.applications AS applications ON applications.application_id = counted.application_id

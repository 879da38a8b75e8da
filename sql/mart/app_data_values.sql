-- Which texts, codes and counts were read each day, and how often?
-- One row per application, subject, day and reading: lot codes that OCR read, or how many of something were
-- counted. Of a subject in a result the latest current assertion with a reading counts, a model's or a
-- person's, so that what a person corrected counts once, as corrected, on the day on which it was first read.
--
--   application_id    Application that holds the assertions.
--   application_name  Name people gave the application.
--   subject_uid       Subject that was read or counted.
--   subject_name      Name of the subject.
--   day               Day on which the subject was first read in the result, replaced assertions included, in
--                     the time zone that mart.settings names.
--   app_data_type     What was read: ocr (a text) or count.
--   reading           What was read, a count as a number such as 12.0.
--   count_value       The count; NULL for texts.
--   results           Number of results (media, or regions of them) with this reading.
--   by_users          Number of these where the reading is a user's.
--   first_read_at     When the first of these results was first read.
--   last_read_at      When the last of these results was first read.
--   mean_probability  Mean probability of the assertions that count, 0..1.
WITH firsts AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        min(asserted_at) AS read_at
    FROM staging.assertions
    WHERE reading IS NOT NULL
    GROUP BY
        application_id,
        media_id,
        focus_key,
        subject_uid
),
words AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        coalesce(created_at, updated_at) AS read_at,
        app_data_type,
        reading,
        asserted_by,
        probability,
        row_number() OVER (
            PARTITION BY application_id, media_id, focus_key, subject_uid
            ORDER BY created_at DESC NULLS LAST, detection_id DESC
        ) AS age
    FROM cogniac.detections
    WHERE reading IS NOT NULL
),
latest AS (
    SELECT
        words.application_id,
        words.subject_uid,
        coalesce(firsts.read_at, words.read_at) AS read_at,
        words.app_data_type,
        words.reading,
        words.asserted_by,
        words.probability
    FROM words
    LEFT JOIN firsts
        ON firsts.application_id = words.application_id
        AND firsts.media_id = words.media_id
        AND firsts.focus_key = words.focus_key
        AND firsts.subject_uid = words.subject_uid
    WHERE words.age = 1
),
dated AS (
    SELECT
        application_id,
        subject_uid,
        read_at,
        CAST(read_at AT TIME ZONE 'UTC' AS DATE) AS day,
        app_data_type,
        reading,
        asserted_by,
        probability
    FROM latest
),
daily AS (
    SELECT
        application_id,
        subject_uid,
        day,
        app_data_type,
        reading,
        count(*) AS results,
        count(*) FILTER (WHERE asserted_by = 'user') AS by_users,
        min(read_at) AS first_read_at,
        max(read_at) AS last_read_at,
        avg(probability) AS mean_probability
    FROM dated
    GROUP BY
        application_id,
        subject_uid,
        day,
        app_data_type,
        reading
)
SELECT
    daily.application_id,
    applications.name AS application_name,
    daily.subject_uid,
    subjects.name AS subject_name,
    daily.day,
    daily.app_data_type,
    daily.reading,
    CASE WHEN daily.app_data_type = 'count' THEN CAST(daily.reading AS DOUBLE) END AS count_value,
    daily.results,
    daily.by_users,
    daily.first_read_at,
    daily.last_read_at,
    daily.mean_probability
FROM daily
LEFT JOIN cogniac.applications AS applications ON applications.application_id = daily.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = daily.subject_uid

-- What was detected each day, by whom, and how much of it is above the threshold?
-- Counts the current assertions by the day on which they were made; an assertion without a time of its
-- own counts on the day of the latest assertion in its result. A subject the application sets no threshold
-- for has 0.5, the vendor's default.
--
--   application_id      Application that holds the assertions.
--   application_name    Name people gave the application.
--   subject_uid         Subject that is asserted to be in the media, or not.
--   subject_name        Name of the subject.
--   day                 Day of the assertions, in the time zone that mart.settings names.
--   asserted_by         Who asserts: model, user or capture (a user, outside any application).
--   model_id            Model that made the assertions; NULL for users.
--   user_id             User who made the assertions; NULL for models.
--   results             Number of results (media, or regions of them) with such assertions.
--   detections          Number of assertions.
--   threshold           Probability above which the application passes a detection of the subject on, 0..1.
--   above_threshold     Number of assertions with a probability above the threshold.
--   above_share         Share of the assertions with a probability that are above the threshold, 0..1.
--   mean_probability    Mean probability of the assertions, 0..1.
--   median_probability  Median probability of the assertions, 0..1.
WITH dated AS (
    SELECT
        detections.application_id,
        detections.subject_uid,
        CAST(coalesce(detections.created_at, detections.updated_at) AT TIME ZONE 'UTC' AS DATE) AS day,
        detections.asserted_by,
        detections.model_id,
        detections.user_id,
        -- A medium and a region as one text, so that both are counted together.
        detections.media_id || ' ' || detections.focus_key AS result,
        detections.probability,
        coalesce(thresholds.threshold, CAST(0.5 AS DOUBLE)) AS threshold
    FROM cogniac.detections AS detections
    LEFT JOIN staging.thresholds AS thresholds
        ON thresholds.application_id = detections.application_id
        AND thresholds.subject_uid = detections.subject_uid
        AND thresholds.valid_to IS NULL
),
daily AS (
    SELECT
        application_id,
        subject_uid,
        day,
        asserted_by,
        model_id,
        user_id,
        threshold,
        count(DISTINCT result) AS results,
        count(*) AS detections,
        count(probability) AS probabilities,
        count(*) FILTER (WHERE probability > threshold) AS above_threshold,
        avg(probability) AS mean_probability,
        median(probability) AS median_probability
    FROM dated
    GROUP BY
        application_id,
        subject_uid,
        day,
        asserted_by,
        model_id,
        user_id,
        threshold
)
SELECT
    daily.application_id,
    applications.name AS application_name,
    daily.subject_uid,
    subjects.name AS subject_name,
    daily.day,
    daily.asserted_by,
    daily.model_id,
    daily.user_id,
    daily.results,
    daily.detections,
    daily.threshold,
    daily.above_threshold,
    CAST(daily.above_threshold AS DOUBLE) / nullif(daily.probabilities, 0) AS above_share,
    daily.mean_probability,
    daily.median_probability
FROM daily
LEFT JOIN cogniac.applications AS applications ON applications.application_id = daily.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = daily.subject_uid

-- How often do people agree with each model, week by week, and how sure was it when they did not?
-- Each assertion of a model that a user judged counts once, in the week the model made it, by the last
-- judgement known, replaced ones included. What is an assertion of a model, and when a user agrees with it, is
-- told in staging.reviewed_pairs. What people review is no random sample, but mostly what the model was unsure
-- of: of all that it said, it may be right more often. The bounds are those of Wilson's interval at 95 %, which
-- holds for small numbers too, of a random sample.
--
--   application_id              Application that holds the assertions.
--   application_name            Name people gave the application.
--   model_id                    Model that was judged; NULL for assertions that were replaced before they
--                               could be loaded.
--   subject_uid                 Subject the model looked for.
--   subject_name                Name of the subject.
--   week                        Monday of the week in which the model made the assertions, or the user where
--                               that is not known; in the time zone that mart.settings names.
--   reviewed                    Number of the model's assertions that a user judged.
--   agreed                      Number of these the user confirmed.
--   overruled                   Number of these the user did not confirm.
--   confirmed_present           Number of these where both said that the subject was there, and read the same.
--   confirmed_absent            Number of these where both said that it was not.
--   wrongly_seen                Number of these where the model alone said that the subject was there.
--   overlooked                  Number of these where the user alone said so.
--   misread                     Number of these where the user read another text or count.
--   agreed_share                Share of the reviewed assertions that the user confirmed, 0..1.
--   agreed_share_low            Lower bound of this share.
--   agreed_share_high           Upper bound of this share.
--   precision                   Of those where the model said that the subject was there, the share that the
--                               user confirmed, 0..1; NULL where there are none, as with the others.
--   precision_low               Lower bound of the precision.
--   precision_high              Upper bound of the precision.
--   recall                      Of those where the user said that the subject was there, the share where the
--                               model had said so, and read the same, 0..1.
--   recall_low                  Lower bound of the recall.
--   recall_high                 Upper bound of the recall.
--   false_positive_rate         Of those where the user said that the subject was not there, the share where
--                               the model had said that it was, 0..1.
--   false_positive_rate_low     Lower bound of this rate.
--   false_positive_rate_high    Upper bound of this rate.
--   mean_probability_overruled  Mean probability the model had given where it was overruled, 0..1;
--                               NULL where it never was.
WITH
-- The square of the 97.5th percentile of the normal distribution.
z AS (
    SELECT CAST(3.841458820694124 AS DOUBLE) AS squared
),
dated AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        CAST(coalesce(model_asserted_at, user_asserted_at) AT TIME ZONE 'UTC' AS DATE) AS day,
        verdict,
        is_present,
        model_probability
    FROM staging.reviewed_pairs
    WHERE is_last_word
        AND verdict IS NOT NULL
),
weekly AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        CAST(date_trunc('week', day) AS DATE) AS week,
        verdict,
        is_present,
        model_probability
    FROM dated
),
counted AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        week,
        count(*) AS reviewed,
        count(*) FILTER (WHERE verdict = 'confirmed') AS agreed,
        count(*) FILTER (WHERE verdict = 'confirmed' AND is_present) AS confirmed_present,
        count(*) FILTER (WHERE verdict = 'confirmed' AND NOT is_present) AS confirmed_absent,
        count(*) FILTER (WHERE verdict = 'wrongly seen') AS wrongly_seen,
        count(*) FILTER (WHERE verdict = 'overlooked') AS overlooked,
        count(*) FILTER (WHERE verdict = 'misread') AS misread,
        count(*) FILTER (WHERE verdict <> 'overlooked' AND (is_present OR verdict <> 'confirmed'))
            AS said_present,
        count(*) FILTER (WHERE is_present) AS user_present,
        count(*) FILTER (WHERE NOT is_present) AS user_absent,
        avg(model_probability) FILTER (WHERE verdict <> 'confirmed') AS mean_probability_overruled
    FROM weekly
    GROUP BY
        application_id,
        model_id,
        subject_uid,
        week
),
-- Rounded, a bound can be past its end by the last digit of a float.
measured AS (
    SELECT
        counted.application_id,
        counted.model_id,
        counted.subject_uid,
        counted.week,
        counted.reviewed,
        counted.agreed,
        counted.confirmed_present,
        counted.confirmed_absent,
        counted.wrongly_seen,
        counted.overlooked,
        counted.misread,
        CAST(counted.agreed AS DOUBLE) / nullif(counted.reviewed, 0) AS agreed_share,
        (
            2 * counted.agreed + z.squared - sqrt(
                z.squared * (
                    z.squared
                    + CAST(4 * counted.agreed * (counted.reviewed - counted.agreed) AS DOUBLE)
                    / nullif(counted.reviewed, 0)
                )
            )
        ) / (2 * (counted.reviewed + z.squared)) AS agreed_share_low,
        (
            2 * counted.agreed + z.squared + sqrt(
                z.squared * (
                    z.squared
                    + CAST(4 * counted.agreed * (counted.reviewed - counted.agreed) AS DOUBLE)
                    / nullif(counted.reviewed, 0)
                )
            )
        ) / (2 * (counted.reviewed + z.squared)) AS agreed_share_high,
        CAST(counted.confirmed_present AS DOUBLE) / nullif(counted.said_present, 0) AS precision,
        (
            2 * counted.confirmed_present + z.squared - sqrt(
                z.squared * (
                    z.squared
                    + CAST(
                        4 * counted.confirmed_present * (counted.said_present - counted.confirmed_present) AS DOUBLE
                    )
                    / nullif(counted.said_present, 0)
                )
            )
        ) / (2 * (counted.said_present + z.squared)) AS precision_low,
        (
            2 * counted.confirmed_present + z.squared + sqrt(
                z.squared * (
                    z.squared
                    + CAST(
                        4 * counted.confirmed_present * (counted.said_present - counted.confirmed_present) AS DOUBLE
                    )
                    / nullif(counted.said_present, 0)
                )
            )
        ) / (2 * (counted.said_present + z.squared)) AS precision_high,
        CAST(counted.confirmed_present AS DOUBLE) / nullif(counted.user_present, 0) AS recall,
        (
            2 * counted.confirmed_present + z.squared - sqrt(
                z.squared * (
                    z.squared
                    + CAST(
                        4 * counted.confirmed_present * (counted.user_present - counted.confirmed_present) AS DOUBLE
                    )
                    / nullif(counted.user_present, 0)
                )
            )
        ) / (2 * (counted.user_present + z.squared)) AS recall_low,
        (
            2 * counted.confirmed_present + z.squared + sqrt(
                z.squared * (
                    z.squared
                    + CAST(
                        4 * counted.confirmed_present * (counted.user_present - counted.confirmed_present) AS DOUBLE
                    )
                    / nullif(counted.user_present, 0)
                )
            )
        ) / (2 * (counted.user_present + z.squared)) AS recall_high,
        CAST(counted.wrongly_seen AS DOUBLE) / nullif(counted.user_absent, 0) AS false_positive_rate,
        (
            2 * counted.wrongly_seen + z.squared - sqrt(
                z.squared * (
                    z.squared
                    + CAST(
                        4 * counted.wrongly_seen * (counted.user_absent - counted.wrongly_seen) AS DOUBLE
                    )
                    / nullif(counted.user_absent, 0)
                )
            )
        ) / (2 * (counted.user_absent + z.squared)) AS false_positive_rate_low,
        (
            2 * counted.wrongly_seen + z.squared + sqrt(
                z.squared * (
                    z.squared
                    + CAST(
                        4 * counted.wrongly_seen * (counted.user_absent - counted.wrongly_seen) AS DOUBLE
                    )
                    / nullif(counted.user_absent, 0)
                )
            )
        ) / (2 * (counted.user_absent + z.squared)) AS false_positive_rate_high,
        counted.mean_probability_overruled
    FROM counted
    CROSS JOIN z
)
SELECT
    measured.application_id,
    applications.name AS application_name,
    measured.model_id,
    measured.subject_uid,
    subjects.name AS subject_name,
    measured.week,
    measured.reviewed,
    measured.agreed,
    measured.reviewed - measured.agreed AS overruled,
    measured.confirmed_present,
    measured.confirmed_absent,
    measured.wrongly_seen,
    measured.overlooked,
    measured.misread,
    measured.agreed_share,
    CASE
        WHEN measured.agreed_share_low < 0 THEN CAST(0 AS DOUBLE)
        ELSE measured.agreed_share_low
    END AS agreed_share_low,
    CASE
        WHEN measured.agreed_share_high > 1 THEN CAST(1 AS DOUBLE)
        ELSE measured.agreed_share_high
    END AS agreed_share_high,
    measured.precision,
    CASE
        WHEN measured.precision_low < 0 THEN CAST(0 AS DOUBLE)
        ELSE measured.precision_low
    END AS precision_low,
    CASE
        WHEN measured.precision_high > 1 THEN CAST(1 AS DOUBLE)
        ELSE measured.precision_high
    END AS precision_high,
    measured.recall,
    CASE
        WHEN measured.recall_low < 0 THEN CAST(0 AS DOUBLE)
        ELSE measured.recall_low
    END AS recall_low,
    CASE
        WHEN measured.recall_high > 1 THEN CAST(1 AS DOUBLE)
        ELSE measured.recall_high
    END AS recall_high,
    measured.false_positive_rate,
    CASE
        WHEN measured.false_positive_rate_low < 0 THEN CAST(0 AS DOUBLE)
        ELSE measured.false_positive_rate_low
    END AS false_positive_rate_low,
    CASE
        WHEN measured.false_positive_rate_high > 1 THEN CAST(1 AS DOUBLE)
        ELSE measured.false_positive_rate_high
    END AS false_positive_rate_high,
    measured.mean_probability_overruled
FROM measured
LEFT JOIN cogniac.applications AS applications ON applications.application_id = measured.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = measured.subject_uid

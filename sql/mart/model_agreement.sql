-- How often do people agree with each model, and how sure was it when they did not?
-- Each assertion of a model that a user judged counts once, by the last judgement known, replaced ones
-- included. What is an assertion of a model, and when a user agrees with it, is told in
-- staging.reviewed_pairs.
--
--   application_id              Application that holds the assertions.
--   application_name            Name people gave the application.
--   model_id                    Model that was judged; NULL for assertions that were replaced before they
--                               could be loaded.
--   subject_uid                 Subject the model looked for.
--   subject_name                Name of the subject.
--   reviewed                    Number of the model's assertions that a user judged.
--   agreed                      Number of these the user confirmed.
--   overruled                   Number of these the user did not confirm.
--   wrongly_seen                Number of these where the model alone said that the subject was there.
--   overlooked                  Number of these where the user alone said so.
--   misread                     Number of these where the user read another text or count.
--   agreed_share                Share of the reviewed assertions that the user confirmed, 0..1.
--   mean_probability_overruled  Mean probability the model had given where it was overruled, 0..1;
--                               NULL where it never was.
WITH counted AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        count(*) AS reviewed,
        count(*) FILTER (WHERE verdict = 'confirmed') AS agreed,
        count(*) FILTER (WHERE verdict = 'wrongly seen') AS wrongly_seen,
        count(*) FILTER (WHERE verdict = 'overlooked') AS overlooked,
        count(*) FILTER (WHERE verdict = 'misread') AS misread,
        avg(model_probability) FILTER (WHERE verdict <> 'confirmed') AS mean_probability_overruled
    FROM staging.reviewed_pairs
    WHERE is_last_word
        AND verdict IS NOT NULL
    GROUP BY
        application_id,
        model_id,
        subject_uid
)
SELECT
    counted.application_id,
    applications.name AS application_name,
    counted.model_id,
    counted.subject_uid,
    subjects.name AS subject_name,
    counted.reviewed,
    counted.agreed,
    counted.reviewed - counted.agreed AS overruled,
    counted.wrongly_seen,
    counted.overlooked,
    counted.misread,
    CAST(counted.agreed AS DOUBLE) / counted.reviewed AS agreed_share,
    counted.mean_probability_overruled
FROM counted
LEFT JOIN cogniac.applications AS applications ON applications.application_id = counted.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = counted.subject_uid

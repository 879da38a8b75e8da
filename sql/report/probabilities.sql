-- How are the probabilities that the models give distributed, by subject?
-- Counts the current assertions of models in twenty steps from 0 to 1, for the 12 subjects with the most of them.
WITH steps AS (
    SELECT
        subject_uid,
        least(floor(probability * 20), 19) AS step,
        count(*) AS detections
    FROM cogniac.detections
    WHERE asserted_by = 'model'
        AND probability IS NOT NULL
    GROUP BY
        subject_uid,
        step
),
ranked AS (
    SELECT
        subject_uid,
        row_number() OVER (ORDER BY sum(detections) DESC, subject_uid) AS place,
        count(*) OVER () AS subjects
    FROM steps
    GROUP BY subject_uid
)
SELECT
    ranked.subject_uid,
    coalesce(subjects.name, ranked.subject_uid) AS subject,
    round(steps.step / 20, 2) AS probability_from,
    steps.detections,
    ranked.subjects
FROM ranked
JOIN steps ON steps.subject_uid = ranked.subject_uid
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = ranked.subject_uid
WHERE ranked.place <= 12
ORDER BY
    ranked.place,
    steps.step

-- Where do people overrule the model most?
SELECT
    subjects.name AS subject,
    count(*) AS reviewed,
    count(*) FILTER (detections.prev_prob >= 0.5 AND detections.probability < 0.5) AS wrongly_seen,
    count(*) FILTER (detections.prev_prob < 0.5 AND detections.probability >= 0.5) AS overlooked,
    round(100 * (wrongly_seen + overlooked) / reviewed, 1) AS overruled_percent
FROM cogniac.detections AS detections
JOIN cogniac.subjects AS subjects USING (subject_uid)
WHERE detections.asserted_by = 'user' AND detections.prev_prob IS NOT NULL
GROUP BY subjects.name
ORDER BY overruled_percent DESC
LIMIT 5

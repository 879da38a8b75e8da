-- What did the second run change, and what was known before?
SELECT
    applications.name AS application,
    count(*) FILTER (history.valid_to IS NULL) AS new_assertions,
    count(*) FILTER (history.valid_to IS NOT NULL) AS replaced_assertions
FROM cogniac.detection_history AS history
JOIN cogniac.applications AS applications USING (application_id)
WHERE history._run_id = (SELECT max(run_id) FROM etl.runs)
GROUP BY applications.name
ORDER BY new_assertions DESC

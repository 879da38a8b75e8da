-- Which applications have a page of their own, and how much of what they looked at was reviewed?
WITH reviewed AS (
    SELECT
        application_id,
        CAST(sum(results) AS BIGINT) AS results,
        CAST(sum(reviewed_results) AS BIGINT) AS reviewed_results
    FROM mart.coverage
    GROUP BY application_id
)
SELECT
    pages.application_id,
    pages.application,
    pages.detections,
    pages.earlier,
    coalesce(reviewed.results, 0) AS results,
    coalesce(reviewed.reviewed_results, 0) AS reviewed_results,
    pages.applications
FROM report_applications AS pages
LEFT JOIN reviewed ON reviewed.application_id = pages.application_id
ORDER BY pages.place

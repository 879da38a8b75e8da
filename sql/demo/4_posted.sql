-- What did Cogniac post as it occurred, and has polling seen it since?
SELECT
    applications.name AS application,
    count(DISTINCT posts.post_id) AS posts,
    count(*) AS assertions,
    count(*) FILTER (posts.state = 'confirmed') AS confirmed,
    count(*) FILTER (posts.state <> 'confirmed') AS not_confirmed
FROM mart.postback_reconciliation AS posts
JOIN cogniac.applications AS applications USING (application_id)
GROUP BY applications.name
ORDER BY posts DESC

SELECT
    coalesce(application_name, application_id) AS application_name,
    week,
    sum(reviewed)::BIGINT AS reviewed,
    sum(agreed)::BIGINT AS agreed,
    sum(agreed) / nullif(sum(reviewed), 0) AS agreed_share
FROM mart.model_agreement
GROUP BY ALL
ORDER BY ALL

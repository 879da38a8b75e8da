-- What was received of one refused record or file, and what is known of it besides.
SELECT
    record,
    context
FROM etl.quarantine
WHERE quarantine_id = $quarantine_id

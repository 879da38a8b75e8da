-- The applications that were loaded and not taken away.
SELECT application_id
FROM cogniac.applications

-- Put refused records and files aside, unless the same content has been refused before; returns the ids of the new ones.
INSERT INTO etl.quarantine BY NAME
SELECT *
FROM refused
WHERE NOT EXISTS (FROM etl.quarantine AS kept WHERE kept.quarantine_id = refused.quarantine_id)
QUALIFY row_number() OVER (PARTITION BY quarantine_id) = 1
RETURNING quarantine_id

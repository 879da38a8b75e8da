-- How many media the list is known to hold.
SELECT count(*)
FROM neurons.media
WHERE deleted_at IS NULL

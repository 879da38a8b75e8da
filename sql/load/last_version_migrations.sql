-- The version of Sightglass that brought the warehouse up to date last.
SELECT version
FROM etl.migrations
ORDER BY rowid DESC
LIMIT 1

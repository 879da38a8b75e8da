-- Files that are in the archive, in the order of their paths, from a path on.
SELECT DISTINCT archive_path, bytes
FROM neurons.assets
WHERE archive_path > $after
ORDER BY archive_path
LIMIT $most

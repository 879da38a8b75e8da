-- A run that still counts as running although its lock was free has died: it was killed, or the machine went down.
UPDATE etl.runs
SET status = 'failed', finished_at = $now
WHERE status = 'running'

-- Note that nothing of what was replaced is left.
UPDATE etl.published
SET is_vacuum_due = false

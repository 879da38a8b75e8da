-- Say what became of a refused record or file.
UPDATE etl.quarantine
SET state = $state
WHERE quarantine_id = $quarantine_id

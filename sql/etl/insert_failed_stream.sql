-- A stream that failed lacks what changed since its cursor.
INSERT INTO missing
VALUES ($source, $stream, $partition, $what, $error)

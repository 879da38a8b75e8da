"""The rebuild on a distributed engine: the two steps of a rebuild as functions of a share of the log.

Flatten makes rows of a part, load makes the tables of a bucket of what came of all parts, in their order. Who
runs them where is not their business: `cluster` has Spark do it, `job` says what is to be done.
"""

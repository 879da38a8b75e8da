"""The warehouse: what must be true together is committed together."""

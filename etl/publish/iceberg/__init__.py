"""The lake as Iceberg tables."""

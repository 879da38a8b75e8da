"""The lake as Delta tables."""

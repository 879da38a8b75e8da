"""What one would use instead, each a process of its own that prints what it did as one JSON object."""

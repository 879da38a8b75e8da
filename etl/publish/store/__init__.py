"""The lake in an object store: the same layout, names and rules as in the folder `versions` of a home."""

"""The archive: pictures and films by the hash of their content, in a folder or an object store.

A file is complete, on disk and under its name before anything says that it is there. So a kill leaves at most
a file that no row names, which whoever brings the same content again finds in its place.
"""

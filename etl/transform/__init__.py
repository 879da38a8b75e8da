"""Records and files to typed Arrow tables, by the declarations alone."""

"""One module per API, named like its file in `schemas/`."""

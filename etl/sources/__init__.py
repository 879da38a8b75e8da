"""One module per API, named like its file in `schemas/`."""

import sys

# httpx brings a command of its own, which nobody calls here: to import it takes half of the time of httpx.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

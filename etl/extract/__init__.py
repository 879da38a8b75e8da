"""Ask APIs: HTTP, the contract between a source and the pipeline, the log of what was received."""

import sys

# httpx loads a command line of its own where click, pygments and rich are installed: a third of its import.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

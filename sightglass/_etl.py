"""The package `etl` that is ours, whatever other package of this name is around.

One on PYTHONPATH would come first. Python looks for what is inside `etl` only where it has found `etl`.
"""

import sys
from importlib import import_module
from pathlib import Path

FOLDER = __file__.rpartition("/")[0].rpartition("/")[0]
"""Where our `etl` is: beside this package."""


def _found() -> str:
    """Return the version of our `etl`, once it is what `import etl` finds; ImportError where it cannot be."""
    sys.path.insert(0, FOLDER)
    try:
        found = import_module("etl")
    finally:
        sys.path.remove(FOLDER)
    where = found.__file__ or ", ".join(found.__path__)
    if Path(where).resolve() != Path(FOLDER, "etl", "__init__.py").resolve():
        raise ImportError(
            f"sightglass needs its own package `etl`, and another of this name is imported already, from "
            f"{where}: import sightglass before it, or give that one another name"
        )
    return str(found.__version__)


VERSION = _found()

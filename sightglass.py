"""The command as it is installed, under a name that is ours: `etl` may be a package of the user's, too.

One on PYTHONPATH would come first. Python looks for what is inside `etl` only where it has found `etl`.
"""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])
import etl  # noqa: F401

del sys.path[0]

from etl.__main__ import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()

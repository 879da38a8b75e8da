"""The command as it is installed; `python -m sightglass` is the same."""

from etl.__main__ import main

__all__ = ["main"]

if __name__ == "__main__":
    main()

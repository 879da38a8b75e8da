"""`python -m etl` is the command `sightglass`: it obeys signals from its first line on."""

import gc
import os
import signal
import sys
from contextlib import suppress

# What is imported is no garbage: to look for some as often as by default is a thirtieth of a short run.
gc.set_threshold(10_000)
for each in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(each) is not signal.SIG_IGN:
        signal.signal(each, lambda number, _frame: os._exit(128 + number))  # nothing is begun yet


def main() -> None:
    """Run the command and leave with one of the exit codes of `etl.errors.EXIT_CODES`."""
    from etl import process  # noqa: PLC0415 -- what it takes to import is time in which signals come

    try:
        with process.stoppable():
            from etl.cli import main as command  # noqa: PLC0415

            command()
    except SystemExit as ended:
        # Not sys.exit: while Python ends, a signal would be obeyed in its own way.
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


if __name__ == "__main__":
    main()

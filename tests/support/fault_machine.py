"""What tests of several files share with `test_fault_machine`."""

import signal

from faults import Healthy, published, stored, told

TOLD = "sightglass: told to stop; what was loaded is kept, the next run goes on from there\n"
STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def is_healthy(loaded: Healthy) -> bool:
    """Whether the next run has nothing to tell of, and all is there."""
    home, ran = loaded.sightglass.home, loaded.sightglass("run")
    return (0, []) == (ran.code, told(ran)) and (loaded.stored, loaded.published) == (
        stored(home),
        published(home),
    )

"""How long an object store is waited for, and how much it is asked at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """The limits of one publish into a store."""

    ahead: float = 2
    """Seconds between naming the time of a version and that time, by half of which its objects are there.

    So much may the clocks of readers be fast at most, less what the commit takes.
    """
    ahead_per_file: float = 0.02
    """Seconds that a version is named further ahead for each object that it brings."""
    tries: int = 6
    """Times that a version is given a later name, twice as far ahead, where the store is slower than that."""
    lease: float = 600
    """Seconds after which a writer on another host that has not said anything is taken for dead."""
    renew: float = 60
    """Seconds after which a writer says that it lives."""
    at_once: int = 4
    """Objects that are sent at once."""
    timeout: float = 60
    """Seconds of one request; a large object goes in several."""
    retry: float = 60
    """Seconds in which a request that fails is tried again."""


STORE_LIMITS = StoreLimits()

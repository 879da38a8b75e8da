"""The ways a run can end without success, named by what the operator does next.

* SightglassError
  + ConfigError             exit 2   fix the settings, a schema file, or what was typed
    + QueryError                     a query, or what is asked for in it, cannot be answered
  + EnvironmentFaultError   exit 2   see to the machine: its disk, its memory, a file that stands in the way
    + NotPublishedError              there is nothing to read yet
    + OutOfMemoryError               it has too little memory for what the API holds
  + SourceError             exit 3   an API refused or kept failing; wait, or fix the login, and run again
    + ClientError                    the API said no to this very request (4xx): asking again will not help
  + CheckFailedError        exit 4   what was loaded fails a check: readers keep the version that they have
  + TargetError             exit 4   one place could not be brought to the version that readers have here
  + BusyError               exit 75  another process holds the warehouse

Data outside the contract ends no run: `RecordError` names what is wrong with one record or file, which goes
to quarantine (exit 4). Anything else that is raised is a bug: traceback, exit 1.
"""

OK = 0
BUG = 1
QUARANTINED = 4
WORST_FIRST = (1, 2, 75, 3, 4, 0)
"""Exit codes in the order in which one wins over another."""
NOTHING = "nothing"
EXIT_CODES = {
    "0": ("all went well; nothing new is also well", NOTHING),
    "1": ("a bug; a traceback stands on standard error", "report it"),
    "2": (
        (
            "usage, settings, or this machine (a folder, a file); another account than the warehouse holds; "
            "a source that was loaded before and has no credentials now, or whose package is not installed "
            "or cannot be used (all others were loaded)"
        ),
        "fix what the message names; no API was asked to change anything",
    ),
    "3": (
        "a source refused or kept failing; everything else was loaded",
        "wait, or fix the login; run again",
    ),
    "4": (
        (
            "data outside the declared types was quarantined, everything else was loaded; a part of the "
            "log that was not loaded yet is damaged, and what it held is asked for again; a check held "
            "publishing back, and readers keep the version they had; or a place that the version is put "
            "besides could not take it"
        ),
        "look at `etl.quarantine`; standard error names the check",
    ),
    "75": ("another run holds the warehouse", f"{NOTHING}; the next run will do it"),
    "130, 143": (
        "the command was told to stop, by Ctrl-C or SIGTERM; it goes within a second or so, whatever it does",
        f"{NOTHING}; the next run goes on from there",
    ),
}
"""What each exit code means, and what to do."""


class SightglassError(Exception):
    """Something the operator can act on; its text is one line that says what to do."""

    exit_code = BUG


class ConfigError(SightglassError):
    """A setting, a schema file or an argument is not as it must be."""

    exit_code = 2


class QueryError(ConfigError):
    """What is asked of the tables cannot be answered: the query is wrong, or would change something."""


class EnvironmentFaultError(SightglassError):
    """The machine is not as it must be: no room, no memory, no right, or something in the way."""

    exit_code = 2


class NotPublishedError(EnvironmentFaultError):
    """Nothing is published in this folder."""


class OutOfMemoryError(EnvironmentFaultError):
    """DuckDB has too little memory for what it is to do."""


class SourceError(SightglassError):
    """An API could not be read; what other streams brought is kept."""

    exit_code = 3


class ClientError(SourceError):
    """An API answered that this request is wrong (a 4xx that retrying cannot cure)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class CheckFailedError(SightglassError):
    """What was loaded fails a check that comes before publishing."""

    exit_code = QUARANTINED


class TargetError(SightglassError):
    """A place that the published version is put besides could not take it; the next publish tries again."""

    exit_code = QUARANTINED


class BusyError(SightglassError):
    """Another process holds the warehouse."""

    exit_code = 75


def worst(codes: list[int]) -> int:
    """Return the exit code that wins over the others; 0 for an empty list."""
    return min([*codes, OK], key=WORST_FIRST.index)


def code_of(error: BaseException) -> int:
    """Return the exit code of a command that ends with this error."""
    if isinstance(error, SightglassError):
        return error.exit_code
    # What the machine lacks is no bug, where nobody has said so nearer to the place.
    is_of_machine = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.filename)
    return EnvironmentFaultError.exit_code if is_of_machine else BUG


class RecordError(ValueError):
    """One record or file is not of its declared type: what is wrong, and where in it."""

    def __init__(self, reason: str, path: str = "$") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

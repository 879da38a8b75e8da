"""One thing that is looked at, how it was found, and what is to be done about it."""

from dataclasses import dataclass

from etl.errors import OK, EnvironmentFaultError, SourceError

GOOD, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """How one thing was found."""

    name: str
    level: str
    """ok, warn (it works, and might not for long) or fail."""
    says: str
    cure: str = ""
    """What is to be done; empty where nothing is."""
    code: int = OK
    """The exit code that it is worth."""

    def __str__(self) -> str:
        return f"{self.level:4}  {self.name}: {self.says}" + f"; {self.cure}" * bool(self.cure)


def good(name: str, says: str) -> Check:
    """Return a check that found nothing amiss."""
    return Check(name, GOOD, says)


def warned(name: str, says: str, cure: str) -> Check:
    """Return a check of what works, and should be seen to."""
    return Check(name, WARN, says, cure)


def failed(name: str, says: str, cure: str) -> Check:
    """Return a check of settings, or of this machine, that must be mended."""
    return Check(name, FAIL, says, cure, EnvironmentFaultError.exit_code)


def refused(name: str, says: str, cure: str) -> Check:
    """Return a check of an API that did not answer as it should."""
    return Check(name, FAIL, says, cure, SourceError.exit_code)

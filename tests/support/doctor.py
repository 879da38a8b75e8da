"""What tests of several files share with `test_doctor`."""

from conftest import Ran, Row


def found(ran: Ran, name: str) -> Row:
    """The one check of this name."""
    (check,) = [check for check in ran.report["checks"] if check["name"] == name]
    assert isinstance(check, dict)
    return check


def amiss(ran: Ran) -> list[tuple[str, str]]:
    """The checks that are not ok, and how they are; cron's apart, which is the machine's own."""
    checks = ran.report["checks"]
    return [(one["name"], one["level"]) for one in checks if one["level"] != "ok" and one["name"] != "cron"]

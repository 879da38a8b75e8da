"""`sightglass doctor` asks the APIs: logins, what they answer, and how far their clocks are off."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Sightglass
from faults import Healthy
from hostile import Answer
from support.doctor import amiss, found

from etl.config import load
from etl.doctor import apis
from etl.sources import own_settings

LIST = "/1/tenants/[^/]+/applications"
TOKEN = "/1/token"
API_FAULTS: dict[str, tuple[str, Answer, str, str]] = {
    "a refused login": (
        TOKEN,
        Answer(b'{"message": "no such key"}', 401),
        "answered 401: no such key",
        "COG_",
    ),
    "an API that is down": (
        LIST,
        Answer(b"", 503),
        "/1/tenants/current/applications answered 503",
        "wait and",
    ),
    "an API that talks nonsense": (LIST, Answer(b"<html>", 200), "that is not JSON", "wait and look again"),
}


@pytest.mark.parametrize(("path", "said", "says", "cure"), API_FAULTS.values(), ids=API_FAULTS)
def test_fault_of_an_api_is_exit_code_3(
    path: str, said: Answer, says: str, cure: str, loaded: Healthy
) -> None:
    """The other API is looked at all the same."""
    loaded.restore()
    loaded.server.instead[path] = said
    try:
        ran = loaded.sightglass("doctor", "--json", SIGHTGLASS_RETRY_BUDGET="0")
    finally:
        loaded.server.instead.clear()

    check = found(ran, "cogniac")
    assert (3, [("cogniac", "fail")]) == (ran.code, amiss(ran))
    assert (True, True) == (says in check["says"], cure in check["cure"]), check
    assert "ok" == found(ran, "neurons")["level"]


def test_the_login_of_another_tenant_is_exit_code_2(loaded: Healthy) -> None:
    """A run would refuse it; the tenant that the warehouse holds is named."""
    loaded.restore()
    loaded.server.instead["/1/users/current/tenants"] = {"tenants": [{"tenant_id": "t2"}]}
    try:
        ran = loaded.sightglass("doctor", "--json")
    finally:
        loaded.server.instead.clear()

    assert (2, [("cogniac", "fail")]) == (ran.code, amiss(ran))
    assert found(ran, "cogniac")["says"].endswith("leads to t2; the warehouse holds t1")


LOGINS = [
    ({"NEURONS_API_KEY": ""}, 2, {"neurons": "fail"}, "set NEURONS_API_KEY"),
    ({"COG_API_KEY": "no-colon"}, 2, {"cogniac": "fail"}, "see to COG_API_KEY, or COG_USER and COG_PASS"),
]


@pytest.mark.parametrize(("settings", "code", "expected", "cure"), LOGINS)
def test_a_source_that_was_loaded_before_needs_its_login(
    settings: dict[str, str], code: int, expected: dict[str, str], cure: str, loaded: Healthy
) -> None:
    """As a run needs it."""
    loaded.restore()

    ran = loaded.sightglass.but_for(settings)("doctor", "--json")

    assert (code, expected) == (ran.code, dict(amiss(ran)))
    assert cure == found(ran, next(iter(expected)))["cure"]


def test_no_login_at_all_is_exit_code_2(tmp_path: Path) -> None:
    """There is nothing that a run could do."""
    ran = Sightglass(tmp_path)("doctor", "--json")

    assert (2, [("cogniac", "warn"), ("neurons", "warn"), ("sources", "fail")]) == (ran.code, amiss(ran))


@pytest.mark.parametrize(
    ("off", "level", "code", "says"),
    [
        (timedelta(minutes=0), "ok", 0, "it agrees with this machine's"),
        (timedelta(minutes=10), "warn", 0, "it is 10 minutes behind this machine's"),
        (timedelta(minutes=-10), "warn", 0, "it is 10 minutes ahead of this machine's"),
        (timedelta(hours=2), "fail", 2, "it is 120 minutes behind this machine's"),
    ],
)
def test_clocks_that_differ_are_named(
    off: timedelta, level: str, code: int, says: str, loaded: Healthy
) -> None:
    """By how much, and which way."""
    loaded.restore()
    settings = load(
        own_settings(), {**loaded.sightglass.settings, "SIGHTGLASS_HOME": str(loaded.sightglass.home)}
    )

    checks = {check.name: check for check in apis.logins(settings, lambda: datetime.now(UTC) + off)}

    check = checks["cogniac clock"]
    assert (level, says, code) == (check.level, check.says, check.code)
    assert ("" if level == "ok" else "set this machine's clock (NTP)") == check.cure

"""What fails in passing is had in the end, what fails for ever is named, and nothing secret is told."""

import asyncio
import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
import stamina
from conftest import DEFAULTS, ROOT, Plant, Row, Sightglass, Truth, in_order, leaked, rows, serving, table
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from etl.config import load
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.demo.script import FOREVER, LOGIN_PAGE, Answer, CutOff, Reset, Rule, Script
from etl.extract.http import Api
from etl.extract.stream import RequestStats
from etl.pipeline import run as pipeline
from etl.sources import own_settings
from etl.sources.cogniac.login import Login
from etl.values import moment

CROWD = 16
TIMEOUT_SECONDS = 30.0  # seconds after which a test fails that would wait for ever
DETECTIONS = r"/1/applications/\w+/detections"
LOGIN = "COG_API_KEY, or COG_USER and COG_PASS"
COGNIAC = (
    *("results", "detections", "detection_boxes", "media", "applications", "application_thresholds"),
    "subjects",
)
FILM = {"media_id": "film", "status": "done", "type": "video"}
FAULTS: dict[str, ASGIApp] = {
    "a login page": LOGIN_PAGE,
    "a cut-off body": CutOff(),
    "a reset": Reset(),
    "500": Answer(status=500),
    "429 with seconds": Answer(status=429, retry_after=0),
    "503 with a date": Answer(status=503, retry_after=datetime(2020, 1, 1, tzinfo=UTC)),
}


@pytest.fixture(autouse=True)
def _here_and_without_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy of this machine is asked, and nothing waits between attempts."""
    monkeypatch.setenv("NO_PROXY", "*")
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def small() -> Iterator[Plant]:
    """Both simulators with next to nothing in them."""
    with serving(
        CogniacSimulator(1, CogniacSize(records=30)),
        NeuronsSimulator(1, NeuronsSize(media=4, frames=(50, 60))),
    ) as plant:
        plant.neurons.put(FILM, {"metrics": b'[{"focus": 1}]'})
        yield plant


def run(plant: Plant, home: Path, **given: str) -> pipeline.Report:
    """Load what is new of both, in this process."""
    environ = {**plant.settings, "SIGHTGLASS_HOME": str(home), "SIGHTGLASS_LAG": "0", **given}
    settings = load(own_settings(), environ, file=Path(os.devnull))
    return pipeline.run(settings, [], lambda: datetime.now(UTC), lambda _stats, _records: None)


def expected_and_found(plant: Plant, home: Path) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """What both simulators say, and what the tables hold of it."""
    truth = Truth.now(plant)
    media = [{"media_id": one["media_id"], "status": one["status"]} for one in truth.media]
    files = [
        {"media_id": media_id, "asset": asset, "sha256": hashlib.sha256(content).hexdigest()}
        for (media_id, asset), content in truth.files.items()
    ]
    told = {**truth.rows(), "videos": media, "files": files}
    kept = {name: rows(home, f"cogniac.{name}") for name in COGNIAC}
    kept["videos"] = [{name: row[name] for name in media[0]} for row in rows(home, "neurons.media")]
    hashed = [row for row in rows(home, "neurons.assets") if "sha256" in row]
    kept["files"] = [{name: row[name] for name in files[0]} for row in hashed]
    return ({name: in_order(each) for name, each in both.items()} for both in (told, kept))  # type: ignore[return-value]


class Together:
    """Holds requests until so many are there, then answers all of them 401."""

    def __init__(self, crowd: int) -> None:
        self._missing = crowd
        self._full = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the others, then refuse."""
        self._missing -= 1
        if not self._missing:
            self._full.set()
        await asyncio.wait_for(self._full.wait(), TIMEOUT_SECONDS)
        await Answer(status=401)(scope, receive, send)


def minted(plant: Plant) -> int:
    """How often a token was asked for."""
    return sum(seen.path == "/1/token" for seen in plant.cogniac.requests)


def test_sixteen_threads_renew_a_token_once(small: Plant) -> None:
    """All are refused at the same time, one asks for a new token, and all go on with it."""
    settings = replace(DEFAULTS, concurrency=CROWD, retry_budget=60, body_memory=16)
    base, request_stats = small.cogniac_login["COG_URL_PREFIX"].rstrip("/"), RequestStats()
    login = Login(base, f"Key {small.cogniac.api_key}", "")
    path = "/1/tenants/current/subjects"
    with closing(Api(base, settings, auth=login)) as api, ThreadPoolExecutor(CROWD) as pool:
        api.get(dict, path, request_stats)
        small.cogniac.fault = Script(Rule(path=path, times=CROWD, answer=Together(CROWD)))
        before = minted(small)
        asked = [pool.submit(api.get, dict, path, request_stats) for _ in range(CROWD)]
        answers = [len(each.result(TIMEOUT_SECONDS)["data"]) for each in asked]

    assert [len(small.cogniac.subjects())] * CROWD == answers
    assert (1, 2) == (before, minted(small))
    used = {seen.headers["authorization"] for seen in small.cogniac.requests if seen.path == path}
    assert 2 == len(used)


def test_a_token_that_expires_during_a_run_is_renewed_once(small: Plant, tmp_path: Path) -> None:
    """Nothing is lost by it, and no stream fails."""
    script = Script(Rule(path=DETECTIONS, nth=2, do=small.cogniac.expire_tokens))
    small.cogniac.fault = script
    report = run(small, tmp_path)
    script.check()

    expected, found = expected_and_found(small, tmp_path)
    assert (0, "ok", 2) == (report.exit_code, report.status, minted(small))
    assert expected == found


def test_a_login_that_is_refused_for_ever_ends_with_what_to_check(small: Plant, tmp_path: Path) -> None:
    """A new token is asked for once, not for ever; the other source is loaded."""
    small.cogniac.fault = Script(Rule(path="/1/tenants/", times=FOREVER, answer=Answer(status=401)))
    report = run(small, tmp_path)

    failed = {stats.stream: stats.error for stats in report.streams if stats.error}
    url = small.cogniac_login["COG_URL_PREFIX"]
    said = f"GET {url}1/tenants/{small.cogniac.tenant_id}/applications answered 401: It was the script."
    current = said.replace(small.cogniac.tenant_id, "current")
    assert failed in (
        {"applications": f"{said}; check {LOGIN}"},
        {"applications": f"{current}; check {LOGIN}"},
    )
    assert (3, "partial", 2) == (report.exit_code, report.status, minted(small))
    assert len(small.neurons.media_ids()) == len(rows(tmp_path, "neurons.media"))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_fails_in_passing_leaves_no_trace_but_a_count(
    small: Plant, tmp_path: Path, fault: ASGIApp
) -> None:
    """Twice in each place, then fine: the tables are what both APIs say, and each retry is counted."""
    places = (DETECTIONS, "/1/tenants/[^/]+/applications", "/1/tenants/[^/]+/subjects")
    one = Script(*(Rule(path=path, times=2, answer=fault) for path in places))
    two = Script(Rule(path="/predict/v2/media$", times=2, answer=fault))
    three = Script(Rule(path="^/film/", times=2, answer=fault))
    small.cogniac.fault, small.neurons.fault = one, two
    if fault is not LOGIN_PAGE:  # a file may be anything
        small.neurons.file_watch.fault = three
    report = run(small, tmp_path)

    expected, found = expected_and_found(small, tmp_path)
    retried = sum(sum(script.acted) for script in (one, two, three))
    assert expected == found
    assert (0, "ok") == (report.exit_code, report.status)
    assert retried == sum(stats.retries for stats in report.streams) >= 8
    asked = len(small.cogniac.requests) + len(small.neurons.requests) + len(small.neurons.file_requests)
    # The login is no request of any stream.
    logins = sum(seen.path in ("/1/token", "/1/users/current/tenants") for seen in small.cogniac.requests)
    assert asked - logins == sum(stats.requests for stats in report.streams)


def test_a_token_endpoint_that_fails_in_passing_is_asked_again(small: Plant, tmp_path: Path) -> None:
    """A cut connection, a 503 and HTML instead of a token delay a run, and that is all."""
    faults: tuple[ASGIApp, ...] = (Reset(), Answer(status=503), LOGIN_PAGE)
    script = Script(*(Rule(path="/1/token", nth=nth, answer=fault) for nth, fault in enumerate(faults, 1)))
    small.cogniac.fault = script
    report = run(small, tmp_path)
    script.check()

    expected, found = expected_and_found(small, tmp_path)
    assert (0, expected) == (report.exit_code, found)


def test_an_application_that_fails_for_ever_stops_no_other(small: Plant, tmp_path: Path) -> None:
    """Exit code 3, a gap that names it and its cursor, all others loaded; a good run closes the gap."""
    first = run(small, tmp_path)
    active = list(Truth.now(small).records)
    small.cogniac.advance(records=20, corrections=10)
    broken = max(active, key=lambda each: len(list(small.cogniac.truth(each))))
    path = f"/1/applications/{broken}/detections"
    cursors = dict(table(tmp_path, "SELECT partition, epoch_us(cursor_at) FROM etl.cursors"))
    earlier = [row for row in rows(tmp_path, "cogniac.results") if row["application_id"] == broken]
    small.cogniac.fault = Script(Rule(path=path, times=FOREVER, answer=Answer(status=503)))
    failed = run(small, tmp_path)
    gaps = [row for row in rows(tmp_path, "etl.gaps") if row["source"] == "cogniac"]
    expected, found = expected_and_found(small, tmp_path)
    kept = [row for row in found["results"] if row["application_id"] == broken]
    others = [
        [row for row in each["results"] if row["application_id"] != broken] for each in (expected, found)
    ]
    small.cogniac.fault = None
    good = run(small, tmp_path)

    assert (0, 3, "partial", 0) == (first.exit_code, failed.exit_code, failed.status, good.exit_code)
    said = f"GET {small.cogniac_login['COG_URL_PREFIX']}{path[1:]} answered 503: It was the script."
    gap = {"key": broken, "what": f"what changed after {moment(cursors[broken])}", "error": said}
    assert [gap] == [{name: row[name] for name in gap} for row in gaps]
    assert [(broken, said)] == [(stats.partition, stats.error) for stats in failed.streams if stats.error]
    assert others[0] == others[1]
    assert in_order(earlier) == kept
    assert [] == [row for row in rows(tmp_path, "etl.gaps") if row["source"] == "cogniac"]
    whole, loaded = expected_and_found(small, tmp_path)
    assert whole == loaded


def test_nothing_that_opens_anything_is_kept_or_said(tmp_path: Path) -> None:
    """Of an API that repeats keys, tokens and signatures in its complaints none is written down."""
    with serving() as plant:
        seen: set[str] = set()

        def most_selective(request: Request) -> ASGIApp | None:
            """Complain in words that repeat all that was sent."""
            sent = [request.headers.get(name, "") for name in ("authorization", "x-api-key")]
            signatures = re.findall(r"signature=(\w+)", request.scope["query_string"].decode())
            told = [part for each in [*sent, *signatures] for part in each.split()[-1:]]
            seen.update(told)
            if "/detections" in request.scope["path"] or signatures:
                said = f"I know {' and '.join(told)} and {request.url}"
                return Answer(status=400, body=json.dumps({"message": said, "detail": said}).encode())
            return None

        for watch in (plant.cogniac, plant.neurons, plant.neurons.file_watch):
            cast("CogniacSimulator", watch).fault = most_selective
        plant.neurons.put(FILM | {"metrics": {"focus": "high"}}, {"metrics": b"[]"})
        plant.neurons.put(FILM | {"media_id": "seen"}, {"metrics": b"[]"})
        by_key = Sightglass(tmp_path / "key", plant.settings | {"SIGHTGLASS_RETRY_BUDGET": "0"})
        login = {"COG_API_KEY": "", "COG_USER": plant.cogniac.user, "COG_PASS": plant.cogniac.password}
        by_password = replace(by_key.but_for(login), folder=tmp_path / "password")
        found = []
        for sightglass in (by_key, by_password):
            sightglass.folder.mkdir()
            commands = (("run", "--json"), ("quarantine",), ("quarantine", "--json"))
            found.append((sightglass.home, [sightglass(*command) for command in commands]))

    account = f"{plant.cogniac.user}:{plant.cogniac.password}"
    basic = base64.b64encode(account.encode()).decode()
    secrets = {plant.cogniac.api_key, plant.cogniac.password, plant.neurons.api_key, basic, "demo-secret"}
    assert secrets - {plant.cogniac.password, "demo-secret"} < seen
    assert {True, False} == {each.startswith("simulated.") for each in seen}
    assert any(re.fullmatch("[0-9a-f]{64}", each) for each in seen)
    for home, said in found:
        assert 3 == said[0].code
        for ran in said:
            assert [] == sorted(each[:12] for each in leaked(secrets | seen | {"signature="}, ran, home))


BUG = """
import http.client

def broken(self, *_given, **_options):
    raise RuntimeError("a bug")

http.client.HTTPResponse.read = broken
"""
"""A module that Python imports when it starts, where there is one of the name sitecustomize."""


def test_a_traceback_shows_no_secret_either(tmp_path: Path) -> None:
    """A bug of ours ends with exit code 1 and says where it is, without any key or token."""
    (tmp_path / "sitecustomize.py").write_text(BUG, encoding="utf-8")
    with serving() as plant:
        sightglass = Sightglass(tmp_path, plant.settings | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
        ran = sightglass("run", "neurons", "--json")
        other = sightglass("run", "cogniac", "--json")
        sent = [*plant.cogniac.requests, *plant.neurons.requests]
        said = {value.split()[-1] for seen in sent for value in seen.headers.values() if value}

    for each in (ran, other):
        assert (1, "", True) == (each.code, each.out, each.err.endswith("\nRuntimeError: a bug\n"))
        secrets = {plant.cogniac.api_key, plant.neurons.api_key}
        assert secrets < said
        tokens = {word for word in said if word.startswith("simulated.")}
        assert [] == [secret for secret in secrets | tokens if secret in each.err]

"""Others are told how a run ended: a command, a heartbeat service, Prometheus, a collector of traces."""

import json
import os
import re
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Plant, Sightglass, table
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from etl.demo.script import FOREVER, Answer, Hang, Rule, Script

LABELS = ("source", "stream", "partition", "outcome", "stage", "version")
UUID = "6f1b7a52-0c7e-4f0e-9d0a-b3b1a3a0c9d1"


@dataclass(slots=True)
class Service:
    """A web service that notes what it is asked."""

    url: str = ""
    status: int = 200
    asked: list[tuple[str, bytes]] = field(default_factory=list)


@contextmanager
def serving(status: int = 200, holds: threading.Event | None = None) -> Iterator[Service]:
    """A service on a socket of its own, which answers once nothing holds it."""
    service = Service(status=status)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            service.asked.append((self.path, body))
            if holds:
                holds.wait(60)
            self.send_response(service.status)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 -- as http.server calls it

        def log_message(self, *_given: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        yield service
        if holds:
            holds.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cogniac(plant: Plant, tmp_path: Path) -> Sightglass:
    """The command with the settings that lead to Cogniac alone."""
    return Sightglass(tmp_path, plant.cogniac_login)


def failing(plant: Plant) -> None:
    """Let one stream fail from now on."""
    plant.cogniac.fault = Script(Rule(path="/subjects", times=FOREVER, answer=Answer(status=404)))


def command(folder: Path, program: str) -> str:
    """A command that Python runs, and the file that it writes."""
    return shlex.join([sys.executable, "-c", f"import os, sys; path = {str(folder / 'said')!r}; {program}"])


def test_the_command_is_given_the_report_of_a_run_that_failed(plant: Plant, cogniac: Sightglass) -> None:
    """As `--json` prints it, on standard input; the credentials of the run are not in its environment."""
    write = "open(path, 'w').write(sys.stdin.read() + '|'.join(os.environ))"
    settings = {"SIGHTGLASS_ON_FAILURE": command(cogniac.folder, write)}
    well = cogniac("run", **settings)
    is_silent = not (cogniac.folder / "said").exists()
    failing(plant)
    ran = cogniac("run", "--json", **settings)

    given, _, environ = (cogniac.folder / "said").read_text(encoding="utf-8").partition("\n")
    assert (0, True, 3) == (well.code, is_silent, ran.code)
    assert ran.report == json.loads(given)
    assert ("PATH" in environ, False) == (True, "COG_API_KEY" in environ)


def test_the_command_is_told_why_a_run_failed_as_a_whole(plant: Plant, cogniac: Sightglass) -> None:
    """There is no report of a run that could not begin; what hinders it is known."""
    plant.cogniac.fault = Script(Rule(path="/1/token", times=FOREVER, answer=Answer(status=401)))
    (cogniac.home / "warehouse.duckdb").mkdir(parents=True)
    write = "open(path, 'w').write(sys.stdin.read())"
    ran = cogniac("run", SIGHTGLASS_ON_FAILURE=command(cogniac.folder, write))

    given = json.loads((cogniac.folder / "said").read_text(encoding="utf-8"))
    said = ran.err.splitlines()[-1].removeprefix("sightglass: ")
    assert (ran.code, "failed", said) == (given["exit_code"], given["status"], given["error"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", given["started_at"])
    assert 2 == ran.code


def test_no_shell_reads_the_command(plant: Plant, cogniac: Sightglass) -> None:
    """What a shell would do stays a word."""
    failing(plant)
    path = cogniac.folder / "made-by-a-shell"
    cogniac("run", SIGHTGLASS_ON_FAILURE=f"true; touch {path}")
    cogniac("run", SIGHTGLASS_ON_FAILURE=f"echo $(touch {path})")

    assert not path.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/nowhere/to/be/found", "cannot be started: No such file or directory"),
        ("'", "cannot be started: No closing quotation"),
        ("sh -c 'echo first; echo no such channel >&2; exit 7'", "ended with exit code 7: no such channel"),
    ],
)
def test_a_command_that_fails_is_told_and_changes_nothing(
    plant: Plant, cogniac: Sightglass, given: str, said: str
) -> None:
    """The exit code is that of the run, and standard output holds the run's JSON alone."""
    failing(plant)
    ran = cogniac("run", "--json", SIGHTGLASS_ON_FAILURE=given)

    assert (3, 3) == (ran.code, ran.report["exit_code"])
    assert f"sightglass: SIGHTGLASS_ON_FAILURE {said}" == ran.err.splitlines()[-1]


def test_the_heartbeat_service_is_asked_after_each_run(plant: Plant, cogniac: Sightglass) -> None:
    """At its address after a run that went well, at `/fail` below it after another."""
    with serving() as service:
        settings = {"SIGHTGLASS_PING_URL": f"{service.url}/{UUID}?rid=1"}
        well = cogniac("run", **settings)
        failing(plant)
        ill = cogniac("run", **settings)

    assert (0, 3) == (well.code, ill.code)
    assert [f"/{UUID}?rid=1", f"/{UUID}/fail?rid=1"] == [path for path, _ in service.asked]


def test_a_run_beside_another_tells_nobody(plant: Plant, cogniac: Sightglass) -> None:
    """It did nothing, which is neither well nor a failure; metrics stay those of the last run."""
    path = cogniac.folder / "sightglass.prom"
    assert 0 == cogniac("run", SIGHTGLASS_METRICS_FILE=str(path)).code
    before = path.read_bytes()
    reached = plant.cogniac.fault = Script(Rule(path="/detections$", times=100, answer=Hang()))
    with serving() as service, cogniac.start("run") as process:
        while not reached.acted[0]:
            assert process.poll() is None
        beside = cogniac(
            "run",
            SIGHTGLASS_PING_URL=f"{service.url}/{UUID}",
            SIGHTGLASS_METRICS_FILE=str(path),
            OTEL_EXPORTER_OTLP_ENDPOINT=service.url,
        )
        process.kill()

    assert (75, [], before) == (beside.code, service.asked, path.read_bytes())


def test_a_heartbeat_service_that_answers_ill_or_never_is_told_without_its_address(
    cogniac: Sightglass,
) -> None:
    """The run is what it was; whoever knows the address could ask it too."""
    with (
        serving(status=503) as service,
        serving(status=301) as moved,
        serving(holds=threading.Event()) as silent,
    ):
        ill = cogniac("run", SIGHTGLASS_PING_URL=f"{service.url}/{UUID}")
        elsewhere = cogniac("run", SIGHTGLASS_PING_URL=f"{moved.url}/{UUID}")
        never = cogniac("run", SIGHTGLASS_PING_URL=f"{silent.url}/{UUID}")

    said = "sightglass: SIGHTGLASS_PING_URL, 127.0.0.1: "
    assert (0, f"{said}answered 503") == (ill.code, ill.err.splitlines()[-1])
    assert (0, f"{said}answered 301") == (elsewhere.code, elsewhere.err.splitlines()[-1])
    assert (0, f"{said}no answer in 5 seconds") == (never.code, never.err.splitlines()[-1])
    assert [] == [ran for ran in (ill, elsewhere, never) if UUID in ran.err]


@pytest.mark.parametrize(
    "address", ["http://hc.example/x", "hc.example", "https://", "http://[", "ftp://a/b"]
)
def test_an_address_that_all_could_read_is_refused(cogniac: Sightglass, address: str) -> None:
    """It says so without showing it."""
    ran = cogniac("run", SIGHTGLASS_PING_URL=address)

    said = "SIGHTGLASS_PING_URL from the environment must be an address that begins with https:// ;"
    said = f"sightglass: {said} plain http is accepted for this machine alone\n"
    assert (2, said) == (ran.code, ran.err)


def samples(path: Path) -> dict[tuple[str, ...], float]:
    """The values in a file for Prometheus, by name and labels, as its own library reads them."""
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {
        (each.name, *(each.labels[name] for name in LABELS if name in each.labels)): each.value
        for family in families
        for each in family.samples
    }


def test_prometheus_reads_how_the_run_went_and_how_fresh_all_is(plant: Plant, cogniac: Sightglass) -> None:
    """Counts are those of the report, times those of the tables; a run that fails keeps the last good one."""
    path = cogniac.folder / "sightglass.prom"
    settings = {"SIGHTGLASS_METRICS_FILE": str(path)}
    report = cogniac("run", "--json", **settings).report
    well = samples(path)
    failing(plant)
    cogniac("run", **settings)
    ill = samples(path)

    streams = {(each["source"], each["stream"], each["partition"]): each for each in report["streams"]}
    counts = {
        (f"sightglass_last_run_stream_{name}", *key): value
        for key, each in streams.items()
        for name, value in {"failed": False, **each}.items()
        if isinstance(value, int)
    }
    assert counts == {key: at for key, at in well.items() if key[0].startswith("sightglass_last_run_stream_")}
    cursors = table(cogniac.home, "SELECT source, stream, partition, epoch(cursor_at) FROM etl.cursors")
    newest = "sightglass_stream_newest_record_timestamp_seconds"
    assert {tuple(key): at for *key, at in cursors} == {
        key[1:]: at for key, at in well.items() if key[0] == newest
    }
    good = "sightglass_stream_last_success_timestamp_seconds"
    subjects, applications = (("cogniac", name, "") for name in ("subjects", "applications"))
    assert well[good, *subjects] == ill[good, *subjects] < ill[good, *applications]
    assert [0, 3] == [each["sightglass_run_last_exit_code",] for each in (well, ill)]
    assert [0, 1] == [each["sightglass_last_run_stream_failed", *subjects] for each in (well, ill)]
    assert [0, 1] == [each["sightglass_source_gaps", "cogniac"] for each in (well, ill)]
    assert 0 == well["sightglass_source_quarantine_open", "cogniac"]
    assert (
        well["sightglass_run_last_success_timestamp_seconds",]
        == ill["sightglass_run_last_success_timestamp_seconds",]
    )
    assert report["seconds"] == {
        key[1]: at for key, at in well.items() if key[0] == "sightglass_run_last_stage_seconds"
    }
    assert 0o644 == path.stat().st_mode & 0o777


def test_a_reader_of_the_metrics_never_sees_half_of_them(cogniac: Sightglass) -> None:
    """The file is another one after each run, and nothing is left beside it."""
    path = cogniac.folder / "metrics" / "sightglass.prom"
    path.parent.mkdir()
    cogniac("run", SIGHTGLASS_METRICS_FILE=str(path))
    with path.open(encoding="utf-8") as opened:
        cogniac("run", SIGHTGLASS_METRICS_FILE=str(path))
        before = opened.read()

    assert before.endswith("\n")
    assert before != path.read_text(encoding="utf-8")
    assert [path] == list(path.parent.iterdir())


def test_metrics_that_cannot_be_written_are_told(cogniac: Sightglass) -> None:
    """The run is well all the same."""
    path = cogniac.folder / "missing" / "sightglass.prom"
    ran = cogniac("run", SIGHTGLASS_METRICS_FILE=str(path))

    first = f"sightglass: cannot write SIGHTGLASS_METRICS_FILE: No such file or directory: {path}"
    assert (0, True) == (ran.code, ran.err.splitlines()[-1].startswith(first))


def spans(service: Service) -> dict[str, Any]:
    """The spans that a collector was sent, by name."""
    request = ExportTraceServiceRequest()
    ((path, body),) = service.asked
    request.ParseFromString(body)
    assert "/v1/traces" == path
    (resource,) = request.resource_spans
    about = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert "sightglass" == about["service.name"]
    return {span.name: span for scope in resource.scope_spans for span in scope.spans}


def test_a_collector_is_sent_the_spans_of_a_run(cogniac: Sightglass) -> None:
    """The source within the run, its stages within the source, with their times and counts."""
    with serving() as service:
        ran = cogniac("run", "--json", OTEL_EXPORTER_OTLP_ENDPOINT=service.url)

    found = spans(service)
    run, source = found["run"], found["source cogniac"]
    about = {each.key: each.value for each in run.attributes}
    inner = {
        name: span.parent_span_id for name, span in found.items() if name not in ("run", "source cogniac")
    }
    assert (0, b"", run.span_id) == (ran.code, run.parent_span_id, source.parent_span_id)
    assert {"recover": run.span_id, "publish": run.span_id} | dict.fromkeys(
        ("log", "transform", "load"), source.span_id
    ) == inner
    assert 1 == len({span.trace_id for span in found.values()})
    assert (ran.report["run_id"], sum(each["fetched"] for each in ran.report["streams"])) == (
        about["sightglass.run_id"].string_value,
        about["sightglass.fetched"].int_value,
    )
    assert [] == [
        name
        for name, span in found.items()
        if not run.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    ]


def test_a_collector_that_is_not_there_is_told_in_one_line(cogniac: Sightglass) -> None:
    """The run is well all the same, and is not held up."""
    with serving() as service:
        gone = service.url
    ran = cogniac("run", OTEL_EXPORTER_OTLP_ENDPOINT=gone)

    said = "sightglass: the collector of traces did not take those of this run"
    assert (0, said) == (ran.code, ran.err.splitlines()[-1])
    assert 0 == ran.err.count("Traceback")


@pytest.mark.parametrize("there", ["file", "pipe"])
def test_what_is_no_file_of_metrics_stays_as_it_is(cogniac: Sightglass, tmp_path: Path, there: str) -> None:
    """A path that was typed wrong costs nothing of value, and the run is not lost."""
    path = tmp_path / "other"
    if there == "file":
        path.write_text("of value")
    else:
        os.mkfifo(path)
    ran = cogniac("run", SIGHTGLASS_METRICS_FILE=str(path))

    said = f"sightglass: SIGHTGLASS_METRICS_FILE: {path} holds no metrics; name another file, or remove it"
    assert (0, True) == (ran.code, said in ran.err)
    assert path.is_fifo() if there == "pipe" else path.read_text() == "of value"


LONG = "x" * 300
UNTOLD = {
    "a name too long for the disk": (
        {"SIGHTGLASS_METRICS_FILE": f"/{LONG}"},
        f"cannot read SIGHTGLASS_METRICS_FILE: File name too long: /{LONG}; see to the disk",
    ),
    "a proxy that speaks SOCKS": (
        {"SIGHTGLASS_PING_URL": f"https://example.invalid/{UUID}", "https_proxy": "socks5://127.0.0.1:1"},
        "SIGHTGLASS_PING_URL, example.invalid: asking by way of a SOCKS proxy needs the package socksio",
    ),
    "a limit of spans that is none": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"},
        "the collector of traces cannot be asked: ValueError; see to the variables OTEL_*",
    ),
}


@pytest.mark.parametrize("why", UNTOLD)
def test_whoever_cannot_be_told_costs_the_run_nothing(cogniac: Sightglass, why: str) -> None:
    """Its exit code is its own, and one line says who was not told."""
    settings, said = UNTOLD[why]
    # In a process that has loaded nothing yet: what OpenTelemetry reads of the environment, it reads once.
    with cogniac.but_for(settings).start("run") as process:
        _, err = process.communicate(timeout=100)

    assert (0, f"sightglass: {said}") == (process.returncode, err.splitlines()[-1])
    assert 0 == err.count("Traceback")


def test_a_file_of_metrics_in_no_folder_is_a_mistake_in_the_settings(cogniac: Sightglass) -> None:
    """Nothing was asked of any API; nor is a timer printed that would start such runs."""
    path = "~nobody-of-this-name/metrics.prom"
    ran = cogniac("run", SIGHTGLASS_METRICS_FILE=path)
    timer = cogniac("install-timer", SIGHTGLASS_METRICS_FILE=path)

    why = "Could not determine home directory."
    assert (2, f"sightglass: SIGHTGLASS_METRICS_FILE names no file: {why}\n") == (ran.code, ran.err)
    assert (2, f"sightglass: {path} leads nowhere: {why}\n") == (timer.code, timer.err)
    assert not cogniac.home.exists()

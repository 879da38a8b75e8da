"""The vendor's own SDK sees what our tables hold, and our requests leave nothing to a server's defaults."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl

import cogniac
import pytest
from conftest import Ran, Row, Sightglass, in_order, plain, rows, serving

from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.watch import Seen

pytestmark = pytest.mark.usefixtures("no_credentials")

SAID = ("detection_id", "subject_uid", "probability", "model_id", "user_id")
EXPLICIT = {
    "limit": "100",
    "reverse": "False",
    "only_user": "False",
    "only_model": "False",
    "abridged_media": "False",
}


@dataclass(frozen=True, slots=True)
class Both:
    """A simulator, served, and what two runs of ours asked it for."""

    simulator: CogniacSimulator
    url: str
    home: Path
    ran: Ran
    first: list[Seen]
    """The requests for detections of the first run."""
    second: list[Seen]

    @property
    def active(self) -> list[str]:
        """The ids of the applications to read."""
        return [one["application_id"] for one in self.simulator.applications() if one["active"]]

    @property
    def options(self) -> dict[str, str]:
        """How the SDK connects."""
        login = {"api_key": self.simulator.api_key, "tenant_id": self.simulator.tenant_id}
        return {**login, "url_prefix": self.url}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Two runs of ours; as the SDK cannot ask for all assertions, the simulator shows them by default."""
    variant = ApiVariant(only_model_by_default=False)
    simulator = CogniacSimulator(1, CogniacSize(records=300), variant=variant)
    with serving(simulator) as plant:
        # One reader: several would divide what is long among them, by who is idle at the moment.
        settings = {**plant.cogniac_login, "SIGHTGLASS_CONCURRENCY": "1"}
        sightglass = Sightglass(tmp_path_factory.mktemp("sdk"), settings)
        url = plant.cogniac_login["COG_URL_PREFIX"]

        def detections() -> list[Seen]:
            found = [seen for seen in simulator.requests if seen.path.endswith("/detections")]
            simulator.requests.clear()
            return found

        ran, first = sightglass("run", "--json"), detections()
        assert sightglass("run").code == 0
        yield Both(simulator, url, sightglass.home, ran, first, detections())


def yielded(records: list[Row]) -> list[Row]:
    """What the SDK yields, to be compared."""
    return by_time(
        {
            "updated_at": round(record["updated_at"] * 1_000_000),
            "focus": record["focus"],
            "media": plain(record["media"]),
            "detections": said(record["detections"]),
        }
        for record in records
    )


def stored(home: Path, application_id: str) -> list[Row]:
    """The same of our tables, put together again."""
    media = {row["media_id"]: row for row in in_order(rows(home, "cogniac.media"))}
    detections = [row for row in rows(home, "cogniac.detections") if row["application_id"] == application_id]
    return by_time(
        {
            "updated_at": row["updated_at"],
            "focus": row.get("focus"),
            "media": media[row["media_id"]],
            "detections": said(
                one
                for one in detections
                if (one["media_id"], one["focus_key"]) == (row["media_id"], row["focus_key"])
            ),
        }
        for row in rows(home, "cogniac.results")
        if row["application_id"] == application_id
    )


def said(detections: Iterable[Row]) -> list[Row]:
    """Who asserts what, by id and subject."""
    found = [{name: one.get(name) for name in SAID} for one in detections]
    return sorted(found, key=lambda one: (one["detection_id"], one["subject_uid"]))


def by_time(records: Iterable[Row]) -> list[Row]:
    """Records in an order that does not depend on where they came from."""

    def place(one: Row) -> tuple[int, str, str]:
        return one["updated_at"], one["media"]["media_id"], json.dumps(one["focus"], sort_keys=True)

    return sorted(records, key=place)


def test_the_sdk_yields_what_our_tables_hold(both: Both) -> None:
    """Paging through every application the SDK finds our records: times, media and assertions agree."""
    connection = cogniac.CogniacConnection(**both.options)
    found = {
        application_id: yielded(
            list(connection.get_application(application_id).detections(reverse=False, abridged_media=False))
        )
        for application_id in both.active
    }
    connection.session.close()

    assert found == {application_id: stored(both.home, application_id) for application_id in both.active}


def test_the_asynchronous_sdk_yields_what_our_tables_hold(both: Both) -> None:
    """So does its asynchronous twin."""

    async def read() -> dict[str, list[Row]]:
        async with await cogniac.AsyncCogniacConnection.create(**both.options) as connection:
            applications = await cogniac.AsyncCogniacApplication.get_all(connection)
            return {
                one.application_id: yielded(
                    [record async for record in one.detections(reverse=False, abridged_media=False)]
                )
                for one in applications
                if one.active
            }

    found = asyncio.run(read())

    assert found == {application_id: stored(both.home, application_id) for application_id in both.active}


def asked(requests: list[Seen]) -> dict[str, dict[str, str]]:
    """The parameters of the first request for each path."""
    return {seen.path: dict(parse_qsl(seen.query)) for seen in reversed(requests)}


def path(application_id: str) -> str:
    """Where the detections of an application are."""
    return f"/1/applications/{application_id}/detections"


def test_a_first_run_asks_active_applications_for_everything(both: Both) -> None:
    """Every flag is stated, the bounds are 0 and a whole second before the lag, inactive ones left out."""
    found = asked(both.first)
    ends = {int(parameters.pop("end")) for parameters in found.values()}

    began, ended = (datetime.fromisoformat(both.ran.report[each]) for each in ("started_at", "finished_at"))
    assert {path(each): {"start": "0.000000", **EXPLICIT} for each in both.active} == found
    assert [] == [end for end in ends if not began.timestamp() - 6 < end <= ended.timestamp() - 5]


def test_each_page_is_asked_for_anew_from_the_end_of_the_one_before(both: Both) -> None:
    """The start is a microsecond before that time, for a bound that is strict, and nothing else changes."""
    for application_id in both.active:
        asked_for = [dict(parse_qsl(seen.query)) for seen in both.first if seen.path == path(application_id)]
        times = [round(one["updated_at"] * 1_000_000) for one in both.simulator.truth(application_id)]
        expected, place = ["0.000000"], 100
        while place < len(times):
            last = times[place - 100 : place]
            known = sorted(set(last))
            # One record alone may have moved to its time meanwhile; two hardly have.
            expected.append(just_before(known[-1] if last.count(known[-1]) > 1 else known[-2]))
            since = round(float(expected[-1]) * 1_000_000)
            place = sum(time <= since for time in times) + 100

        assert expected == [parameters.pop("start") for parameters in asked_for]
        assert 1 == len({tuple(parameters.items()) for parameters in asked_for})


def just_before(time: int) -> str:
    """A time in microseconds less one, as it is sent."""
    return f"{(time - 1) // 1_000_000}.{(time - 1) % 1_000_000:06}"


def test_a_second_run_asks_each_application_for_one_page_of_its_end(both: Both) -> None:
    """It starts the overlap before the newest record, and a little more, in case the bound is strict."""
    newest = {each: list(both.simulator.truth(each))[-1]["updated_at"] for each in both.active}
    starts = {each: just_before(round(at * 1_000_000) - 3_600_000_000) for each, at in newest.items()}

    found = asked(both.second)
    for parameters in found.values():
        del parameters["end"]
    assert found == {path(each): {"start": start, **EXPLICIT} for each, start in starts.items()}
    assert len(both.active) == len(both.second)


def test_applications_can_be_chosen(both: Both, tmp_path: Path) -> None:
    """SIGHTGLASS_COGNIAC_APPLICATIONS reads those it names, inactive or not, and no others."""
    inactive = next(one["application_id"] for one in both.simulator.applications() if not one["active"])
    chosen = {inactive, both.active[0]}
    sightglass = Sightglass(tmp_path, {"COG_API_KEY": both.simulator.api_key, "COG_URL_PREFIX": both.url})
    both.simulator.requests.clear()

    ran = sightglass("run", SIGHTGLASS_COGNIAC_APPLICATIONS=f"{inactive}, {both.active[0]}")

    assert 0 == ran.code
    assert {path(each) for each in chosen} == {
        seen.path for seen in both.simulator.requests if seen.path.endswith("/detections")
    }
    assert chosen == {row["application_id"] for row in rows(sightglass.home, "cogniac.results")}

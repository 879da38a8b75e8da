"""The vendor's own client works with the Cogniac simulator as it does with the API."""

import asyncio

import cogniac
import pytest
from support.cogniac_simulator import SMALL, Record, everything, logged_in

from etl.demo.cogniac.simulator import ApiVariant, CogniacSimulator, CogniacSize
from etl.demo.server import serve

pytestmark = pytest.mark.usefixtures("no_credentials")
EVERYTHING = ApiVariant(only_model_by_default=False)


@pytest.mark.parametrize("by_key", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_the_vendors_sdk_connects_and_pages_everything(*, by_key: bool, named: bool) -> None:
    """The official client finds each record once, by key and by password, with the tenant named or found."""
    simulator = CogniacSimulator(1, SMALL, variant=EVERYTHING)
    account = {"username": simulator.user, "password": simulator.password}
    with serve(simulator.app) as url:
        tenant = simulator.tenant_id if named or by_key else None  # by key the SDK looks for no tenant
        login = {"api_key": simulator.api_key} if by_key else account
        connection = cogniac.CogniacConnection(**login, tenant_id=tenant, url_prefix=url)
        for application in connection.get_all_applications():
            found = list(application.detections(reverse=False, abridged_media=False))
            assert found == list(simulator.truth(application.application_id))
            ids = [{"media_id": record["media"]["media_id"]} for record in reversed(found)]
            assert [record["media"] for record in application.detections()] == ids
        assert connection.tenant.tenant_id == simulator.tenant_id
        assert {one.subject_uid for one in connection.get_all_subjects()} == {
            one["subject_uid"] for one in simulator.subjects()
        }
        connection.session.close()


def test_the_vendors_sdk_may_know_no_tenant_yet() -> None:
    """With a key and no tenant named the SDK connects, and then says that it needs one."""
    simulator = CogniacSimulator(1, CogniacSize(records=0))
    with serve(simulator.app) as url:
        connection = cogniac.CogniacConnection(api_key=simulator.api_key, url_prefix=url)
        with pytest.raises(Exception, match="Unspecified tenant"):
            connection.get_all_applications()
        connection.session.close()


@pytest.mark.parametrize("by_key", [True, False])
def test_the_vendors_async_sdk_pages_everything(*, by_key: bool) -> None:
    """The asynchronous client finds each record once, too."""
    simulator = CogniacSimulator(1, SMALL, variant=EVERYTHING)
    account = {"username": simulator.user, "password": simulator.password}

    async def read(url: str) -> dict[str, list[Record]]:
        login = {"api_key": simulator.api_key} if by_key else account
        options = {**login, "tenant_id": simulator.tenant_id, "url_prefix": url}
        async with await cogniac.AsyncCogniacConnection.create(**options) as connection:
            applications = await cogniac.AsyncCogniacApplication.get_all(connection)
            return {
                one.application_id: [x async for x in one.detections(reverse=False, abridged_media=False)]
                for one in applications
            }

    with serve(simulator.app) as url:
        found = asyncio.run(read(url))

    assert found == {
        one["application_id"]: list(simulator.truth(one["application_id"]))
        for one in simulator.applications()
    }


def test_the_vendors_sdk_reads_a_medium_from_every_side() -> None:
    """Subjects list their media; a medium tells its detections, its subjects and its parent."""
    simulator = CogniacSimulator(1, CogniacSize(records=3000))
    record = next(record for record in everything(simulator) if record["media"]["parent_media_id"])
    media, said = record["media"], record["detections"][0]
    with logged_in(simulator) as client:
        connection = cogniac.CogniacConnection(
            api_key=simulator.api_key, tenant_id=simulator.tenant_id, url_prefix=str(client.base_url)
        )
        subject = connection.get_subject(said["subject_uid"])
        associations = list(subject.media_associations(reverse=False, abridged_media=False))
        parent = client.get(f"1/media/{media['parent_media_id']}").json()
        history = client.get(f"1/media/{media['media_id']}/detections").json()["detections"]
        subjects = client.get(f"1/media/{media['media_id']}/subjects").json()["data"]
        assert client.get(f"1/media/{media['media_id']}").json() == media
        connection.session.close()

    assert media["media_id"] in {one["media"]["media_id"] for one in associations}
    assert (parent["video"], parent["parent_media_id"]) == (True, None)
    assert all(one in history for one in record["detections"])
    assert said["subject_uid"] in {one["subject"]["subject_uid"] for one in subjects}

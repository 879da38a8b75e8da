"""Both simulated APIs with the hosts of their files, served side by side on this machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from etl.demo import timeline
from etl.demo.cogniac.posting import Poster, enter_address
from etl.demo.cogniac.simulator import CogniacSimulator, CogniacSize
from etl.demo.cogniac.written import late_record
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.demo.server import serve

ODD = "high"
"""A probability that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What is new there since time has passed."""

    records: int
    corrections: int
    """Of older records, by people."""
    media: int
    """New ones of Neurons; besides, those whose prediction had not ended have their results."""
    until: datetime
    """The time of the newest record, in UTC."""


@dataclass(slots=True)
class Plant:
    """The two APIs at work, and what lets time pass there."""

    cogniac: CogniacSimulator
    neurons: NeuronsSimulator
    records: int
    """How many Cogniac has at first; of these a twentieth comes each time."""
    media: int
    """The same of Neurons; of these a tenth comes each time, and one at least."""
    settings: dict[str, str] = field(default_factory=dict)
    """What leads the command to both, by the names of its settings."""
    _odd: int = 0

    def advance(self) -> Passed:
        """Let time pass at both, and tell what is new."""
        records, corrections, media = self.records // 20, self.records // 30, max(1, self.media // 10)
        self.cogniac.advance(records=records, corrections=corrections)
        self.neurons.advance(media=media)
        return Passed(records=records, corrections=corrections, media=media, until=self.newest)

    def poster(self, address: str) -> Poster:
        """Let each application of Cogniac name this address, and return what posts there what is new."""
        enter_address(self.cogniac, address)
        return Poster(self.cogniac)

    def send_odd(self) -> str:
        """Let Cogniac list a record that no declaration allows; its medium."""
        self._odd += 1
        media_id = f"ODD{self._odd:025d}"
        application = next(each for each in self.cogniac.applications() if each.get("active", True))
        at = timeline.seconds(self.cogniac.newest + timeline.SECOND)
        record = late_record(application, media_id, at)
        record["detections"][0]["probability"] = ODD
        self.cogniac.put(application["application_id"], record)
        return media_id

    @property
    def newest(self) -> datetime:
        """The time of the newest record of Cogniac."""
        return datetime.fromtimestamp(timeline.seconds(self.cogniac.newest), UTC)


@contextmanager
def served(seed: int, records: int, media: int, port: int = 0) -> Iterator[Plant]:
    """Serve both at 127.0.0.1: on this port and those after it, or where that is 0 on any that are free.

    OSError where one of them is taken.
    """
    plant = Plant(
        CogniacSimulator(seed, CogniacSize(records=records)),
        NeuronsSimulator(seed, NeuronsSize(media=media)),
        records,
        media,
    )
    apps = (plant.cogniac.app, plant.neurons.app, plant.cogniac.files, plant.neurons.files)
    with ExitStack() as stack:
        urls = [stack.enter_context(serve(app, port=port and port + place)) for place, app in enumerate(apps)]
        cogniac_url, neurons_url, plant.cogniac.camera.files_url, plant.neurons.files_url = urls
        plant.settings |= {
            "COG_URL_PREFIX": cogniac_url,
            "COG_API_KEY": plant.cogniac.api_key,
            "NEURONS_URL": neurons_url,
            "NEURONS_API_KEY": plant.neurons.api_key,
        }
        yield plant

"""What is set for Neurons alone."""

from dataclasses import dataclass
from typing import Annotated

from etl.setting import Secret, Setting, Url


@dataclass(frozen=True)
class OwnSettings:
    """Who logs in to Neurons, where it is, how often all of it is listed, and which pictures are archived."""

    api_key: Annotated[Secret, Setting("NEURONS_API_KEY", "Neurons API key.")]
    url: Annotated[
        Url, Setting("NEURONS_URL", "Base address of the Neurons API.", "https://api.neuronsinc.com/")
    ]
    sweep: Annotated[
        float,
        Setting(
            "SIGHTGLASS_NEURONS_SWEEP",
            "Hours between full listings of Neurons media, which alone find late changes; 0: "
            "every run; in between, runs read the end of the list and everything still open.",
            "0",
            most=100 * 365 * 24,
        ),
    ]
    archive: Annotated[
        tuple[str, ...],
        Setting(
            "SIGHTGLASS_NEURONS_ARCHIVE",
            "Comma-separated pictures and films to archive, such as `heat,fog`; or `all`.",
        ),
    ]

"""What is known of one simulated medium, and which assets it has when."""

import random
from dataclasses import dataclass
from enum import IntEnum

from etl.demo.neurons.assets import spelled
from etl.demo.neurons.film import FELT

IMAGE_ASSETS = (
    *("heat", "clarity_heat", "engagement_heat", "fog", "formatted"),
    *("first_two_heat", "first_two_fog", "last_two_heat", "last_two_fog"),
    *("engagement_new_heat", "memory_heat", "intent_heat", "trust_heat", "avoidance_heat"),
)
CLIPS = ("heat", "fog", "formatted")
AOI_ASSETS = ("brand_detection", "brand_detection_metrics", "aoi_scores")
IMAGE_METRICS = (
    "cognitive_demand",
    "focus",
    "focus_first_two",
    "focus_last_two",
    "clarity",
    "engagement",
    *FELT,
)
CONTENT_TYPES = {".jpeg": "image/jpeg", ".mp4": "video/mp4", ".json": "application/json", ".csv": "text/csv"}


class Stage(IntEnum):
    """How far the prediction of a medium has come."""

    WAITING = 0
    """Started, nothing there yet."""
    PARTIAL = 1
    """Started, but the faster model has answered."""
    AOI_OPEN = 2
    """Done, while its areas of interest are still being looked for."""
    DONE = 3
    FAILED = 4


OPEN = (Stage.WAITING, Stage.PARTIAL, Stage.AOI_OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """One generated image or video."""

    number: int
    style: int | None
    """The count of videos before this one, which chooses the shapes of its assets; None for an image."""
    media_id: str
    created: int
    updated: int
    stage: Stage
    run: int = 0

    @property
    def old(self) -> bool:
        """Whether it is spelled as the v2.0 documentation spells: buy, trustworthy, annoying."""
        return self.number % 3 == 0

    @property
    def finds_brands(self) -> bool:
        """Whether areas of interest are looked for in it."""
        return self.style is not None and self.style % 4 != 3

    @property
    def assets(self) -> list[str]:
        """The keys of its `results`."""
        if self.stage in {Stage.WAITING, Stage.FAILED}:
            return []
        if self.style is None:
            return [spelled(name, old=self.old) for name in IMAGE_ASSETS]
        if self.stage is Stage.PARTIAL:
            return ["frt_frame_metrics"]
        found = AOI_ASSETS if self.finds_brands and self.stage is Stage.DONE else ()
        return [*CLIPS, "metrics", "frt_frame_metrics", *found]


def image_metrics(rng: random.Random) -> dict[str, float]:
    """Percentages: two decimals where the documented sample has two, full doubles elsewhere."""
    values = {name: rng.uniform(20, 90) for name in IMAGE_METRICS}
    return {
        name: round(value, 2) if name in {"clarity", "engagement"} else value
        for name, value in values.items()
    }

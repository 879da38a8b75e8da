"""Files of results that are pictures or films, in which there are no rows."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from etl.errors import ConfigError
from etl.sources.neurons.assets import READERS
from etl.sources.neurons.metrics import NEWER

PICTURES = frozenset(["jpg", "jpeg", "png", "gif", "webp", "bmp", "svg", "mp4", "webm", "mov", "mkv", "avi"])
"""Endings of files that hold no rows."""
OF_METRICS = (
    "clarity",
    "cognitive_demand",
    "engagement",
    "engagement_new",
    "memory",
    *NEWER,
    *NEWER.values(),
)
NAMES = frozenset(
    {
        *("heat", "fog", "formatted"),
        *("first_two_heat", "first_two_fog", "last_two_heat", "last_two_fog"),
        *(f"{metric}_heat" for metric in OF_METRICS),
    }
)
"""The pictures and films that the documents name."""
ALL = "all"
"""What stands for all pictures and films, those too that no document names."""


def is_picture(name: str, url: str) -> bool:
    """Whether the file is a picture or film, by its ending, or by its name where the link has none."""
    if name in READERS:
        return False
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    ending = PurePosixPath(path).suffix.lower().removeprefix(".")
    if ending in ("json", "csv", "txt"):
        return False
    return ending in PICTURES or name in ("heat", "fog", "formatted") or name.endswith(("_heat", "_fog"))


def wanted_names(setting: Sequence[str]) -> frozenset[str]:
    """Return the names of the files that are to be archived, in every spelling; `all` for all of them.

    ConfigError where one is none that is known.
    """
    for name in setting:
        if name not in NAMES and name != ALL:
            near = get_close_matches(name, [*NAMES, ALL], 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {ALL}, {', '.join(sorted(NAMES))}"
            raise ConfigError(f"SIGHTGLASS_NEURONS_ARCHIVE: {name[:60]} is no picture of Neurons; {hint}")
    older = {newer: old for old, newer in NEWER.items()}
    spelled = {
        f"{names[metric]}_heat"
        for name in setting
        for names in (NEWER, older)
        if (metric := name.removesuffix("_heat")) in names and name.endswith("_heat")
    }
    return frozenset({*setting, *spelled})

"""Delta tables over the files of the lake, for engines that read this format."""

import os
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from etl.errors import ConfigError
from etl.setting import Setting

if TYPE_CHECKING:
    from etl.config import Settings
    from etl.publish.target import Target

NAME = "SIGHTGLASS_LAKE_FORMAT"
FOLDER = FORMAT = "delta"


@dataclass(frozen=True)
class OwnSettings:
    """As what else the lake can be read."""

    lake_format: Annotated[str, Setting(NAME, "Table format under which the lake is to be found too: delta.")]


def target(settings: "Settings") -> "Target | None":
    """Return the Delta tables, or what is left of them; ConfigError where the extra is missing."""
    wanted, folder = settings.of(OwnSettings).lake_format, settings.home / FOLDER
    if wanted not in ("", FORMAT):
        raise ConfigError(f"{NAME} must be {FORMAT}, not {wanted!r}")
    if not wanted and not os.path.isdir(folder):  # noqa: PTH112 -- False as well where nobody may look
        return None
    # What takes long to import is left alone where there are none.
    from etl.publish.delta.tables import DeltaTables, are_here  # noqa: PLC0415
    from etl.publish.open_tables import LeftBehind  # noqa: PLC0415

    if not wanted:
        return LeftBehind(folder, are_here)
    try:
        import_module("deltalake")  # an extra
    except ImportError as error:
        raise ConfigError(
            f"{NAME} needs {error.name or error}: pip install 'sightglass-etl[delta]'"
        ) from error
    return DeltaTables(folder)

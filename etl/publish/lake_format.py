"""Under which open table formats the lake is to be found too."""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from etl.errors import ConfigError
from etl.setting import Setting

if TYPE_CHECKING:
    from etl.config import Settings

NAME = "SIGHTGLASS_LAKE_FORMAT"
FORMATS = ("delta", "iceberg")


@dataclass(frozen=True)
class LakeFormat:
    """As what else the lake can be read."""

    lake_format: Annotated[
        tuple[str, ...],
        Setting(NAME, "Table formats of the lake besides: delta, iceberg, or both with a comma."),
    ]


def is_asked_for(settings: "Settings", name: str, package: str) -> bool:
    """Whether a format is named; ConfigError where one is that does not exist, or the extra is missing."""
    wanted = settings.of(LakeFormat).lake_format
    for each in wanted:
        if each not in FORMATS:
            raise ConfigError(f"{NAME} must be {', '.join(FORMATS)}, or both with a comma, not {each!r}")
    if name not in wanted:
        return False
    try:
        import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{NAME} needs {error.name or error}: pip install 'sightglass-etl[{name}]'"
        ) from error
    except Exception as error:  # it may read settings of its own, which may hold a credential
        kind = type(error).__name__
        raise ConfigError(f"{NAME}: {package} cannot be loaded ({kind}): see to its own settings") from error
    return True


def is_there(folder: Path) -> bool:
    """Whether a folder is left from a format; not where nobody may look."""
    return os.path.isdir(folder)  # noqa: PTH112 -- False as well where nobody may look

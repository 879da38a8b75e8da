"""Iceberg tables over the files of the lake, for engines that read this format."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from etl.publish.lake_format import is_asked_for, is_there
from etl.setting import Secret, Setting

if TYPE_CHECKING:
    from etl.config import Settings
    from etl.publish.target import Target

FOLDER = FORMAT = "iceberg"
CATALOG = "SIGHTGLASS_ICEBERG_CATALOG"


@dataclass(frozen=True)
class OwnSettings:
    """Who tells readers of Iceberg what is new."""

    catalog: Annotated[
        Secret,
        Setting(
            CATALOG,
            "Address of an Iceberg REST catalog; without it the catalog is a file, `iceberg/catalog.db`.",
            is_address=True,
        ),
    ]


def target(settings: "Settings") -> "Target | None":
    """Return the Iceberg tables, or what is left of them; ConfigError where the extra is missing."""
    is_asked, folder = is_asked_for(settings, FORMAT, "pyiceberg.catalog.sql"), settings.home / FOLDER
    if not is_asked and not is_there(folder):
        return None
    # What takes long to import is left alone where there are none.
    from etl.publish.open_tables import LeftBehind  # noqa: PLC0415

    if not is_asked:
        from etl.publish.iceberg.left import are_here  # noqa: PLC0415

        return LeftBehind(folder, are_here)
    from etl.publish.iceberg.tables import IcebergTables  # noqa: PLC0415

    return IcebergTables(folder, settings.of(OwnSettings).catalog)

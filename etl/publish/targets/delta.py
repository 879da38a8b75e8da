"""Delta tables over the files of the lake, for engines that read this format."""

from typing import TYPE_CHECKING

from etl.publish.lake_format import LakeFormat, is_asked_for, is_there

if TYPE_CHECKING:
    from etl.config import Settings
    from etl.publish.target import Target

FOLDER = FORMAT = "delta"
OwnSettings = LakeFormat


def target(settings: "Settings") -> "Target | None":
    """Return the Delta tables, or what is left of them; ConfigError where the extra is missing."""
    is_asked, folder = is_asked_for(settings, FORMAT, "deltalake"), settings.home / FOLDER
    if not is_asked and not is_there(folder):
        return None
    # What takes long to import is left alone where there are none.
    from etl.publish.delta.tables import DeltaTables, are_here  # noqa: PLC0415
    from etl.publish.open_tables import LeftBehind  # noqa: PLC0415

    return DeltaTables(folder) if is_asked else LeftBehind(folder, are_here)

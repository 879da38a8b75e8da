"""An object store as a place of the lake: S3, Google Cloud Storage, Azure, or what speaks as they do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from etl.errors import ConfigError
from etl.setting import Setting

if TYPE_CHECKING:
    from etl.config import Settings
    from etl.publish.target import Target

NAME = "SIGHTGLASS_LAKE_STORE"
SCHEMES = ("s3://", "gs://", "az://")


@dataclass(frozen=True)
class OwnSettings:
    """Where the store is; who may write there, its own usual variables say."""

    url: Annotated[
        str,
        Setting(
            NAME,
            "Object store where the lake is put besides, as `s3://bucket/prefix`, `gs://` or `az://` "
            "(needs the extra `store`; [targets.md](targets.md)).",
        ),
    ]


def target(settings: "Settings") -> "Target | None":
    """Return the store that the settings name; ConfigError where none can be, or its extra is missing."""
    url = settings.of(OwnSettings).url.rstrip("/")
    if not url:
        return None
    if not url.startswith(SCHEMES) or not url.partition("://")[2]:
        raise ConfigError(f"{NAME} must be an address such as s3://bucket/prefix, gs:// or az://")
    if any(sign in url for sign in "@?#"):
        raise ConfigError(
            f"{NAME} must hold no credentials and no query: the store's usual variables say who may write"
        )
    # What needs the extra, and DuckDB, is left alone where no store is named.
    from etl.publish.store.objects import Objects  # noqa: PLC0415
    from etl.publish.store.writer import StoreTarget  # noqa: PLC0415

    lake_uri = settings.lake_uri.rstrip("/")
    is_elsewhere = "://" in lake_uri and not lake_uri.startswith("file://")
    return StoreTarget(url, Objects(url, NAME), prefix=lake_uri if is_elsewhere else url)

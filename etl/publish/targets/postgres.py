"""PostgreSQL: every published version in one transaction, with the marts as tables."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from etl.config import DAY
from etl.setting import Secret, Setting

if TYPE_CHECKING:
    from etl.config import Settings
    from etl.publish.target import Target

URL, SECONDS = "SIGHTGLASS_POSTGRES_URL", "SIGHTGLASS_POSTGRES_SECONDS"


@dataclass(frozen=True)
class OwnSettings:
    """Which database holds the tables besides."""

    url: Annotated[
        Secret,
        Setting(
            URL,
            "Address of a PostgreSQL database that every published version is put into, "
            "`postgresql://user:password@host:5432/database` (needs the extra `postgres`; "
            "[targets.md](targets.md)).",
            is_database=True,
        ),
    ]
    seconds: Annotated[
        int, Setting(SECONDS, "Seconds that one statement may take in PostgreSQL.", "900", least=1, most=DAY)
    ]


def target(settings: "Settings") -> "Target | None":
    """Return the database that the settings name; ConfigError where they cannot."""
    own = settings.of(OwnSettings)
    if not own.url:
        return None
    # What takes long to import is left alone where there is none.
    from etl.publish.postgres_session import check_address, library  # noqa: PLC0415
    from etl.publish.postgres_target import PostgresTarget  # noqa: PLC0415

    check_address(own.url)
    library()
    return PostgresTarget(own, settings.sql_memory)

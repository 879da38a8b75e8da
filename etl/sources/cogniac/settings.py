"""What is set for Cogniac alone."""

from dataclasses import dataclass
from typing import Annotated

from etl.setting import Secret, Setting, Url


@dataclass(frozen=True)
class OwnSettings:
    """Who logs in to Cogniac, where it is, and what is read of it."""

    api_key: Annotated[Secret, Setting("COG_API_KEY", "Cogniac API key, id:secret.")]
    user: Annotated[str, Setting("COG_USER", "Cogniac user name, where there is no API key.", filled=True)]
    password: Annotated[Secret, Setting("COG_PASS", "Cogniac password of that user.", is_password=True)]
    tenant: Annotated[str, Setting("COG_TENANT", "Cogniac tenant id.")]
    url_prefix: Annotated[
        Url, Setting("COG_URL_PREFIX", "Base address of the Cogniac API.", "https://api.cogniac.io/")
    ]
    applications: Annotated[
        tuple[str, ...],
        Setting(
            "SIGHTGLASS_COGNIAC_APPLICATIONS",
            "Comma-separated application ids.",
        ),
    ]
    archive: Annotated[
        tuple[str, ...],
        Setting(
            "SIGHTGLASS_COGNIAC_ARCHIVE",
            "Comma-separated sizes of media to archive: pixels as Cogniac names them, such as "
            "`454`, or `original` ([archive.md](archive.md)).",
        ),
    ]

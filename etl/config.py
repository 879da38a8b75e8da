"""Settings: flag beats environment beats `sightglass.toml`; the only place that reads secrets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from etl.errors import ConfigError
from etl.setting import (
    Secret,
    Setting,
    TimeZone,
    check_folder,
    check_secret,
    checked,
    declared,
    passwords_of,
    reason_of,
    secrets_of_address,
)
from etl.setting_names import is_setting, must_be_allowed, must_be_known, nearest
from etl.settings_file import FILE, read_file, text_of

PREFIX = "SIGHTGLASS_"
"""What the names of all settings begin with that are no API's own: there, an unknown name is a mistake."""

DAY = 86_400
YEAR = 365 * DAY
CENTURY = 100 * YEAR
"""Seconds."""
LARGE = 10**9
"""Megabytes: more than any machine has."""

DEFAULT = "the default"
"""Where a setting is from that nobody gave."""

T = TypeVar("T")
Places = Sequence[tuple[str, Mapping[str, str]]]
"""Where settings may be given, the strongest first, and what was given there."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting was given."""

    where: str
    """The command line, the environment, the name of the settings file, or the default."""
    path: Path | None = None
    """The file that holds it, where it is a secret in one."""

    def __str__(self) -> str:
        return f"{self.path}, which {self.where} names" if self.path else self.where


@dataclass(frozen=True)
class Settings:
    """All settings of a run, checked: those of no one source by name, a source's own as its dataclass."""

    home: Annotated[
        Path,
        Setting(
            "SIGHTGLASS_HOME", "Folder of the warehouse; its path holds no question mark.", "./warehouse"
        ),
    ]
    sources: Annotated[
        tuple[str, ...],
        Setting(
            "SIGHTGLASS_SOURCES",
            "Comma-separated sources that `run` loads, each of which must have credentials; "
            "otherwise all that have.",
        ),
    ]
    overlap: Annotated[
        float,
        Setting("SIGHTGLASS_OVERLAP", "Seconds before the cursor that are read again.", "3600", most=CENTURY),
    ]
    lag: Annotated[float, Setting("SIGHTGLASS_LAG", "Newest seconds left for the next run.", "5", most=YEAR)]
    concurrency: Annotated[
        int, Setting("SIGHTGLASS_CONCURRENCY", "Requests in flight per source.", "8", least=1, most=100)
    ]
    retry_budget: Annotated[
        float,
        Setting(
            "SIGHTGLASS_RETRY_BUDGET",
            "Seconds one request may take in all: its place among those in flight, login, "
            "redirects, the answer to its last byte, retries; only the wait for Neurons' own "
            "rate, of up to 20 seconds, comes on top; 0: one try of at most a minute.",
            "120",
            most=DAY,
        ),
    ]
    body_memory: Annotated[
        int,
        Setting(
            "SIGHTGLASS_BODY_MEMORY",
            "Megabytes that answers may take while they are read: half in equal shares for the "
            "requests in flight, half for one page at a time that outgrows its share.",
            "768",
            least=16,
            most=LARGE,
        ),
    ]
    lake_uri: Annotated[
        str,
        Setting(
            "SIGHTGLASS_LAKE_URI",
            "Prefix under which readers see the folder of the warehouse, where it is another one.",
        ),
    ]
    lake_grace: Annotated[
        float,
        Setting(
            "SIGHTGLASS_LAKE_GRACE",
            "Seconds that replaced files of the lake stay for those who still read them.",
            "600",
            most=CENTURY,
        ),
    ]
    raw_days: Annotated[
        int | None,
        Setting(
            "SIGHTGLASS_RAW_DAYS",
            "Days the log of all that was received is kept in `raw/`, or `forever`; with 0 it "
            "goes as soon as it is in the tables.",
            "30",
        ),
    ]
    archive: Annotated[
        str,
        Setting(
            "SIGHTGLASS_ARCHIVE",
            "Where the archive is: a folder, or an object store as `s3://bucket/prefix`, `gs://` or "
            "`az://` (needs the extra `store`); otherwise the folder `archive` of the warehouse.",
        ),
    ]
    archive_disk: Annotated[
        float,
        Setting(
            "SIGHTGLASS_ARCHIVE_DISK",
            "Megabytes that the archive may take, whoever filled it; 0: any number.",
            "10000",
            most=LARGE,
        ),
    ]
    archive_rate: Annotated[
        float,
        Setting(
            "SIGHTGLASS_ARCHIVE_RATE",
            "Megabytes that are archived in a second, at most; 0: any number.",
            "0",
            most=LARGE,
        ),
    ]
    archive_minutes: Annotated[
        float,
        Setting(
            "SIGHTGLASS_ARCHIVE_MINUTES",
            "Minutes after which a run archives no more of a source; 0: none.",
            "30",
            most=DAY,
        ),
    ]
    run_days: Annotated[
        int | None,
        Setting(
            "SIGHTGLASS_RUN_DAYS",
            "Days each run is kept by itself in `etl.runs` and `etl.run_streams` (at least 31),"
            " or `forever`; older ones are summed up by day in `etl.run_days`.",
            "400",
            least=31,
        ),
    ]
    sql_memory: Annotated[
        int,
        Setting(
            "SIGHTGLASS_SQL_MEMORY",
            "Megabytes that a query of `sql`, `report`, `snapshot` or `verify` may hold in memory, "
            "whatever the machine has; what exceeds them is in a private folder below `TMPDIR` "
            "(`snapshot`: beside its file, `verify`: in the folder of the warehouse) for as long.",
            "1024",
            least=64,
            most=LARGE,
        ),
    ]
    time_zone: Annotated[
        TimeZone,
        Setting(
            "SIGHTGLASS_TIME_ZONE",
            "Time zone of the plant, by its IANA name such as `Europe/Berlin`: where days and "
            "weeks begin in all marts and in the report; `mart.settings` tells it.",
            "UTC",
        ),
    ]
    listen: Annotated[
        str,
        Setting("SIGHTGLASS_LISTEN", "Address and port on which `listen` receives posts.", "127.0.0.1:9999"),
    ]
    listen_secret: Annotated[
        Secret,
        Setting(
            "SIGHTGLASS_LISTEN_SECRET",
            "What the address of a post must hold; without it, `listen` takes posts from this machine alone.",
        ),
    ]
    listen_body: Annotated[
        int, Setting("SIGHTGLASS_LISTEN_BODY", "Megabytes of the largest post.", "16", least=1, most=100)
    ]
    listen_rate: Annotated[
        int,
        Setting("SIGHTGLASS_LISTEN_RATE", "Posts that are taken in a second.", "2000", least=1, most=LARGE),
    ]
    on_failure: Annotated[
        str,
        Setting(
            "SIGHTGLASS_ON_FAILURE",
            "Command that is given the report of a run that went wrong ([alerts.md](alerts.md)).",
        ),
    ]
    ping_url: Annotated[
        Secret,
        Setting(
            "SIGHTGLASS_PING_URL", "Address of a heartbeat service, asked after each run.", is_address=True
        ),
    ]
    metrics_file: Annotated[
        str, Setting("SIGHTGLASS_METRICS_FILE", "File for Prometheus, written after each run.")
    ]
    own: Mapping[type[Any], Any] = field(default_factory=dict)
    """The settings of each source, by the dataclass that declares them."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where each was given, by its name."""

    def of(self, own: type[T]) -> T:
        """Return the settings that this dataclass of a source declares."""
        found: T = self.own[own]
        return found

    @property
    def secrets(self) -> list[Secret]:
        """All secrets that were given, and what stands behind the name in a pair of a name and a secret."""
        given = [self.listen_secret] * bool(self.listen_secret)
        inside: list[Secret] = []
        for area, each in self.own.items():
            for name, setting in declared(area).items():
                value = getattr(each, name)
                if isinstance(value, Secret) and value:
                    inside += passwords_of(value) if setting.is_database else []
                    given += [] if setting.is_database else [value]
        paired = (Secret(each.reveal().partition(":")[2]) for each in given)
        return [*given, *paired, *inside, *secrets_of_address(self.ping_url)]

    def at(self, home: Path) -> "Settings":
        """Return the same settings for another folder of a warehouse; ConfigError where none can be there."""
        check_folder(home.absolute(), "the folder")
        return replace(self, home=home.absolute())


def load(
    sources: Iterable[type[Any]],
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    file: Path | None = None,
    call: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force, with those that the dataclasses of `sources` declare.

    What a program gives in a `call` may be secret, and beats the environment. ConfigError names the one that
    is wrong and where it was given.
    """
    own = list(sources)
    areas: list[type[Any]] = [Settings, *own]
    given = {setting.name: setting for area in areas for setting in declared(area).values()}
    found = file or Path(FILE)
    places: Places = [
        ("the command line", flags or {}),
        ("the call", call or {}),
        ("the environment", environ),
        (found.name, read_file(found) if file or found.exists() else {}),
    ]
    for name in flags or {}:
        must_be_allowed(name, given, "the command line")
    for name in call or {}:
        must_be_known(name, given, "the call")
    for name in environ:
        if name.startswith(PREFIX) and not is_setting(name, given):
            raise ConfigError(f"the environment: {name} is no setting{nearest(name, given)}")
    for name in places[-1][1]:
        must_be_allowed(name, given, str(found))
    origins: dict[str, Origin] = {}
    made = _filled(Settings, places, origins)
    return replace(made, own={area: _filled(area, places, origins) for area in own}, origins=origins)


def _filled(area: Callable[..., T], places: Places, origins: dict[str, Origin]) -> T:
    """Return the dataclass with the values in force; it is noted where each was given."""
    values = {}
    for name, setting in declared(area).items():
        value, origins[setting.name] = _given(setting, places)
        values[name] = checked(setting, value, origins[setting.name].where)
    return area(**values)


def _given(setting: Setting, places: Places) -> tuple[str, Origin]:
    """Return the value of the first place that gives one, and which that is."""
    for where, values in places:
        value, path = values.get(setting.name), values.get(f"{setting.name}_FILE")
        if setting.kind is Secret and path is not None and not value:
            return _kept(setting, path, where), Origin(where, Path(path).expanduser())
        if value is None or (not value and where == "the environment" and not setting.must_hold_text):
            continue  # an empty variable is a usual way to leave one out
        if setting.must_hold_text and not value.strip():
            raise ConfigError(f"{setting.name} from {where} is empty: give it a value, or leave it out")
        # What a service or a shell took from a file often ends in a line feed.
        return value if setting.kind is Path else value.strip(), Origin(where)
    return setting.default, Origin(DEFAULT)


def _kept(setting: Setting, path: str, where: str) -> str:
    """Return the secret in a file; ConfigError where there is none."""
    name = f"{setting.name}_FILE"
    if not path.strip():
        raise ConfigError(f"{name} from {where} is empty: name a file, or leave it out")
    try:
        secret = text_of(Path(path).expanduser()).strip()
    except (OSError, ValueError, RuntimeError) as error:
        # RuntimeError: a home folder that nobody has; ValueError: bytes that are no text, or no path.
        raise ConfigError(f"{name}: cannot read {path}: {reason_of(error)}") from error
    if not secret:
        raise ConfigError(f"{name}: {path} holds nothing")
    check_secret(setting, secret, f"{name}: {path}")
    return secret

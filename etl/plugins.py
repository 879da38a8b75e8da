"""Sources that other packages bring: entry points `sightglass.sources`, each with its schema file beside it.

The entry point's name is that of the source, its value the module: `acme = "acme_sightglass"`. In the folder
of the module stand `acme.toml`, and what SQL it has below `sql/acme/`, laid out as here.

What tells of a source is copied into the folder of each warehouse: so the tables of one that is not installed
any more stay published.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from operator import itemgetter
from pathlib import Path

from etl.errors import ConfigError

GROUP = "sightglass.sources"
HOME = "plugins"
"""Folder in that of a warehouse for what tells of the sources of other packages."""
PACKAGE = "package.txt"
"""The file there that names the package."""
UNKNOWN = "a package whose name cannot be read"
OURS = frozenset({"etl", "mart", "staging"})
"""Names of schemas that no source can have."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A source that another package brings."""

    name: str
    package: str
    """The package and its version, as people are told."""
    module: str
    """Empty where it is not installed any more."""
    folder: Path
    """Where its schema file is."""

    @property
    def schema(self) -> Path:
        """The schema file."""
        return self.folder / f"{self.name}.toml"

    @property
    def sql(self) -> Path:
        """The folder of its SQL, which need not be there."""
        return self.folder / "sql"


@cache
def installed() -> Mapping[str, Plugin]:
    """Return the sources that are installed, by their names.

    Raises ConfigError where two packages bring one of a name, or one of them a name that is taken.
    """
    found: dict[str, Plugin] = {}
    points = metadata.entry_points(group=GROUP) if _are_any() else ()
    for package, each in sorted(((_package(each), each) for each in points), key=itemgetter(0)):
        other = found[each.name].package if each.name in found else ""
        if other := "sightglass-etl" if _is_taken(each.name) else other:
            raise ConfigError(
                f"{other} and {package} both bring a source {each.name}: uninstall one of them, or give it "
                "another name"
            )
        if not (each.name.isascii() and each.name.isidentifier() and each.name.islower()):
            raise ConfigError(
                f"{package}: {each.name} is no name of a source: it must be lower case letters, digits and _"
            )
        found[each.name] = Plugin(each.name, package, each.module, _folder_of(each.module, package))
    return found


def _package(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def kept(home: Path) -> dict[str, Plugin]:
    """Return the sources that a warehouse was loaded from, and that are not installed any more."""
    found: dict[str, Plugin] = {}
    if not os.access(home, os.X_OK):
        return found  # what comes next says of the folder itself that it cannot be used
    for path in sorted((home / HOME).glob("*/*.toml")):
        name = path.stem
        if path.parent.name == name and name not in installed():
            try:
                package = (path.parent / PACKAGE).read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                package = UNKNOWN  # its tables are there nonetheless
            found[name] = Plugin(name, package, "", path.parent)
    return found


def remember(home: Path) -> None:
    """Copy what tells of the sources that are installed into the folder of a warehouse."""
    for plugin in installed().values():
        place = home / HOME / plugin.name
        wanted = dict(_told(plugin))
        if {
            path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()
        } == wanted:
            continue
        aside = place.with_suffix(".part")
        shutil.rmtree(aside, ignore_errors=True)
        for path, content in wanted.items():
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).write_bytes(content)
        shutil.rmtree(place, ignore_errors=True)
        aside.rename(place)


def _told(plugin: Plugin) -> Iterator[tuple[Path, bytes]]:
    yield Path(PACKAGE), f"{plugin.package}\n".encode()
    for path in [plugin.schema, *(plugin.sql / plugin.name).rglob("*.sql")]:
        if path.is_file():
            yield path.relative_to(plugin.folder), path.read_bytes()


def _folder_of(module: str, package: str) -> Path:
    """Return the folder of a module, which is not imported: what is wrong with it concerns runs alone."""
    try:
        found = util.find_spec(module)
    except Exception as error:  # to find it imports what is above it, which is anybody's code
        raise ConfigError(f"{package}: {module} cannot be found: {type(error).__name__}: {error}") from error
    if found is None or found.origin is None:
        raise ConfigError(f"{package}: there is no module {module}: install the package again")
    return Path(found.origin).parent


def _is_taken(name: str) -> bool:
    ours = Path(__file__).parent / "sources"
    return name in OURS or (ours / name).is_dir() or (ours / f"{name}.py").is_file()


def _are_any() -> bool:
    """Whether any package that is installed brings a source: `importlib` takes longer to tell."""
    return any(map(_brings_some, sys.path))


def _brings_some(place: str) -> bool:
    with suppress(OSError), os.scandir(place or ".") as found:
        for each in found:
            if each.name.endswith((".dist-info", ".egg-info")):
                with suppress(OSError):
                    if f"[{GROUP}]" in Path(each.path, "entry_points.txt").read_text(encoding="utf-8"):
                        return True
    return False

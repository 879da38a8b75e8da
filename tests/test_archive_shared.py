"""An archive that is not Sightglass's alone: a folder of others in it, or two machines that share it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DEFAULTS, Plant, Sightglass, serving
from support.archives import HEAT, PICTURE, assets, medium, path_of, row_of

from etl.archive.archive import Archive
from etl.archive.places import Folder
from etl.demo.neurons.simulator import NeuronsSimulator, NeuronsSize
from etl.extract.body import Sink
from etl.extract.stream import RequestStats

OTHER = PICTURE + b"other"


@pytest.fixture
def plant() -> Iterator[Plant]:
    """An account that holds what a test puts into it."""
    with serving(neurons=NeuronsSimulator(1, NeuronsSize(media=0))) as served:
        yield served


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/setpriv").exists(), reason="needs two users")
def test_a_folder_of_another_user_does_not_hold_it_up(plant: Plant, tmp_path: Path) -> None:
    """A file system of its own has a `lost+found`, which nobody but the superuser looks into."""
    plant.neurons.put(medium("a"), {"heat": PICTURE})
    root = tmp_path / "archive"
    (root / "lost+found").mkdir(parents=True, mode=0o700)
    os.chown(root / "lost+found", 65_534, 65_534)
    settings = {
        **plant.neurons_login,
        **HEAT,
        "SIGHTGLASS_ARCHIVE": str(root),
        "SIGHTGLASS_ARCHIVE_DISK": "1",
    }
    sightglass = Sightglass(tmp_path, settings, bound=True)
    ran = sightglass("run")

    assert (0, [row_of("a", "heat", PICTURE)]) == (ran.code, assets(sightglass.home, "heat")), ran.err


class Files:
    """A host of files that sends one in two pieces, and does something between them."""

    def __init__(self, content: bytes, between: Callable[[], object] = lambda: None) -> None:
        self._content = content
        self._between = between

    def save(self, _link: str, _stats: RequestStats, sink: Sink) -> str:
        """Send it."""
        sink.begin()
        sink.write(self._content[:8])
        self._between()
        sink.write(self._content[8:])
        return "image/jpeg"


def test_two_machines_whose_warehouses_have_one_path_do_not_mix_files(tmp_path: Path) -> None:
    """Containers have their volumes at the same place: what one receives is not what the other has begun."""

    def archive() -> Archive:
        return Archive(Folder(tmp_path, Path("/data")), "neurons", DEFAULTS)

    def fetch(files: Any) -> str:  # noqa: ANN401 -- all of `Api` that is asked here
        return archive().fetch(files, "", RequestStats()).path

    found = []

    def last() -> None:
        found.append(fetch(Files(OTHER, lambda: found.append(fetch(Files(PICTURE + b"third"))))))

    found.append(fetch(Files(PICTURE, last)))

    contents = [PICTURE + b"third", OTHER, PICTURE]
    assert [path_of(content) for content in contents] == found
    assert contents == [(tmp_path / path).read_bytes() for path in found]
    assert [] == [path for path in (tmp_path / "incoming").rglob("*") if path.is_file()]

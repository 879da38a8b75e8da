"""The catalog of Iceberg tables, which says what each of them is now: a file of this folder, or a server."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import TableAlreadyExistsError
from pyiceberg.table import StagedTable, Table
from pyiceberg.utils.config import Config
from requests import RequestException
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from etl.load.warehouse import umask
from etl.publish.iceberg.commit import newest_ms
from etl.publish.iceberg.files import LocalFiles
from etl.publish.iceberg.manifests import FAILURES
from etl.publish.targets.iceberg import CATALOG
from etl.setting import Secret

NAME = "sightglass"
"""The name of the catalog: of its rows in the file, and in the usual settings of pyiceberg."""
FILE = "catalog.db"
FILES = {"py-io-impl": f"{LocalFiles.__module__}.{LocalFiles.__name__}"}
UNWELL: tuple[type[Exception], ...] = (*FAILURES, RequestException)
"""What comes of a catalog that does not do what it is asked."""
SECONDS = 60
"""How long the server of a catalog may say nothing."""


class _PatientCatalog(RestCatalog):
    """A REST catalog that is not waited for without end."""

    def _create_session(self) -> Any:  # noqa: ANN401 -- a session of requests, which has no types here
        session: Any = super()._create_session()
        session.request = partial(session.request, timeout=SECONDS)
        return session


class _SteadyCatalog(SqlCatalog):
    """A catalog in a file, of which no table goes back in time where the clock does."""

    def _update_and_stage_table(
        self,
        current_table: Table | None,
        table_identifier: Any,  # noqa: ANN401 -- pyiceberg's own
        requirements: Any,  # noqa: ANN401
        updates: Any,  # noqa: ANN401
    ) -> StagedTable:
        staged = super()._update_and_stage_table(current_table, table_identifier, requirements, updates)
        made = staged.metadata
        staged.metadata = made.model_copy(update={"last_updated_ms": newest_ms(made)})
        return staged


@contextmanager
def opened(folder: Path, address: Secret) -> Iterator[Catalog]:
    """Give the catalog: the server at the address, or the file in the folder; UNWELL, OSError."""
    with closing(_server(address) if address else _file(folder / FILE)) as catalog:
        yield catalog


def _file(path: Path) -> Catalog:
    if not path.exists():
        path.touch()
        path.chmod(0o666 & ~umask())
    address = URL.create("sqlite", database=str(path)).render_as_string()
    return _SteadyCatalog(NAME, uri=address, **FILES)


def is_damage(error: Exception) -> bool:
    """Whether a file is no catalog any more, or has a row of a table that it does not find itself.

    Not where somebody is at work with it, or the disk is full.
    """
    return type(error) in (DatabaseError, TableAlreadyExistsError)


def _server(address: Secret) -> Catalog:
    own = Config().get_catalog_config(NAME) or {}
    properties: dict[str, Any] = {**own, "uri": address.reveal(), **FILES}
    return _PatientCatalog(NAME, **properties)


def told(error: Exception, folder: Path, *, is_server: bool) -> str:
    """Return what is said of a failure: of a server no word of its own, which may hold a credential."""
    kind = type(error).__name__
    if is_server:
        return f"the catalog of {CATALOG} does not do what it is asked ({kind}): see to it, and to its login"
    said = str(error).splitlines() or ["no more is known"]
    return f"{kind}: {said[0]}; if it stays so, move {folder} away: it is made anew"

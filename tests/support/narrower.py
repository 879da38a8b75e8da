"""A checkout of a day when the declarations were narrower."""

import re
import shutil
from pathlib import Path

from conftest import ROOT

LIMIT = " }", ", max = 1000 }"

NARROWER = {
    "cogniac": {"probability": ("max = 1 }", "max = 0.9 }"), "training_data_count|expires_in": LIMIT},
    "neurons": {"value": LIMIT},
}
"""By schema file and names of columns: what their declarations say, and what narrower ones would."""


def narrow(folder: Path) -> str:
    """A copy of the checkout as of a day when the declarations were narrower: refuses what we accept."""
    for part in ("etl", "schemas", "sql"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for source, changes in NARROWER.items():
        path = folder / "schemas" / f"{source}.toml"
        text = path.read_text(encoding="utf-8")
        for names, (old, new) in changes.items():
            text = re.sub(rf"(?m)^((?:{names}) +=.*){old}$", rf"\g<1>{new}", text)
        path.write_text(text, encoding="utf-8")
    return str(folder)

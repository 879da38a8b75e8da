"""`python docs/site.py FOLDER`: make the website of these pages in `FOLDER/site`.

It fails where a link, or a place in a page, leads nowhere.
"""

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
EXAMPLES = ("airflow", "dagster", "dlt", "prefect", "systemd")
OTHERS = {
    "schemas/README.md": "dictionary.md",
    "bench/results.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "docs/tour.ipynb": "tour.md",
    **{f"docs/examples/{each}/README.md": f"{each}.md" for each in EXAMPLES},
}
"""Pages that stand elsewhere in the checkout, and their names on the site."""
LINK = re.compile(r"\[([^\[\]]*)\]\(([\w./-]+)((?:#[\w-]*)?)\)")
"""What a link into the checkout shows, where it leads, and to which place there."""

FILE = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)
"""How a block begins that is shown as a file of this name: the generator wants that in its own way."""


def pages(folder: Path) -> None:
    """Put all pages of the site into a folder, with links as they are there."""
    folder.mkdir(parents=True)
    for path in (*sorted((CHECKOUT / "docs").glob("*.md")), *(CHECKOUT / each for each in OTHERS)):
        name = OTHERS.get(str(path.relative_to(CHECKOUT)), path.name)
        text = path.read_text(encoding="utf-8")
        text = _shown(json.loads(text)) if path.suffix == ".ipynb" else FILE.sub(r'```\1 title="\2"', text)
        (folder / name).write_text(LINK.sub(partial(_link, path.parent), text), encoding="utf-8")


def _shown(notebook: dict[str, Any]) -> str:
    """Return a notebook as a page: its text, its code, and what that shows."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text")})
            shown = {kind: "".join(lines) for kind, lines in data.items()}
            drawn = shown.get("image/svg+xml") or shown.get("text/html")
            parts.append(drawn or f"```\n{shown['text/plain']}\n```")
    return "\n\n".join(parts) + "\n"


def _link(folder: Path, link: re.Match[str]) -> str:
    """Return a link of a page in a folder as it is on the site: what is no page there is only named."""
    found = (folder / link[2]).resolve()
    if not found.exists():
        return link[0]  # the generator says that it leads nowhere
    name = str(found.relative_to(CHECKOUT))
    if found.parent != CHECKOUT / "docs" and name not in OTHERS:
        return link[1]
    return f"[{link[1].replace(link[2], OTHERS.get(name, link[2]))}]({OTHERS.get(name, found.name)}{link[3]})"


def main() -> int:
    """Make the site; the exit code is that of its generator."""
    folder = Path(sys.argv[1]).absolute()
    shutil.rmtree(folder / "pages", ignore_errors=True)
    pages(folder / "pages")
    shutil.copy(CHECKOUT / "zensical.toml", folder)
    program = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run([*program, "--config-file", str(folder / "zensical.toml")], check=False).returncode  # noqa: S603 -- our own


if __name__ == "__main__":
    sys.exit(main())

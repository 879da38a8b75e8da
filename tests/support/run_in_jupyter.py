"""Runs a notebook in Jupyter, and prints it as it is then; started by the Python that has Jupyter."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

notebook = nbformat.reads(Path(sys.argv[1]).read_text(encoding="utf-8"), as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.stdout)

"""Environments of their own for libraries that only `make test-long` installs."""

from pathlib import Path

import pytest
from conftest import ROOT


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test where an environment was not made."""
    return pytest.mark.skipif(
        not (_folder(name) / "ready").exists(),
        reason=f"make test-long makes .venv-{name}, which is not here",
    )


def program(name: str, command: str) -> Path:
    """Return a program of an environment."""
    return _folder(name) / "bin" / command


def _folder(name: str) -> Path:
    return ROOT / f".venv-{name}"

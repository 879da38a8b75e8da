"""`pyarrow.compute` as `pc`, imported with its first use: commands that only look need none of it."""

from importlib import import_module
from typing import Any


class _Compute:
    """The functions of the module, each looked up once."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- pyarrow ships no types
        function = getattr(import_module("pyarrow.compute"), name)
        setattr(self, name, function)
        return function


pc: Any = _Compute()

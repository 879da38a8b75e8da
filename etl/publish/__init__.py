"""What others read: checked, written aside, and brought in at one moment, all tables together.

What publishes is imported when it is used: who only reads a version must not wait for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl.publish.publishing import FEWER, REBUILT, Published, bring_former, moment_of, publish

__all__ = ["FEWER", "REBUILT", "Published", "bring_former", "moment_of", "publish"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(name)
    from etl.publish import publishing  # noqa: PLC0415 -- see above

    return getattr(publishing, name)

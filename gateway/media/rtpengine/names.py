"""Names of fronts: whose they are, so that one that was left by a process before is known.

`a1b2c3d4-0f3e5d6c-17-…`: eight hex digits that stand in the data folder, which one process has at a
time, eight that each start throws for itself, a number, and the leg. Who finds the first ones with
other second ones finds what a process before left, for it can't be there any more; gateways
with folders of their own have others.
"""

import itertools
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

_FILE: Final = "rtpengine.token"
_TOKEN: Final = re.compile(r"[0-9a-f]{8}")


class Names:
    """Those of one process; `token` is the folder's, `start` this process's."""

    def __init__(self, token: str, start: str) -> None:
        self._token = token
        self._ours: Final = f"{token}-{start}-"
        self._numbers = itertools.count(1)

    def new(self, leg: str) -> str:
        """One that no front had."""
        return f"{self._ours}{next(self._numbers)}-{leg}"

    def left_over(self, names: Iterable[str]) -> list[str]:
        """Those among `names` that a process before has left."""
        return [
            each
            for each in names
            if each.startswith(f"{self._token}-") and not each.startswith(self._ours)
        ]


def fresh_names() -> Names:
    """Those of a process that nobody comes after."""
    return Names(secrets.token_hex(4), secrets.token_hex(4))


def names_in(data: Path) -> Names:
    """Those of the process that has the data folder; what is there none of yet is made.

    Where it can't be kept nobody will know what this process leaves, which ends by itself.
    """
    file = data / _FILE
    with suppress(OSError, UnicodeDecodeError):
        token = file.read_text().strip()
        if _TOKEN.fullmatch(token):
            return Names(token, secrets.token_hex(4))
    token = secrets.token_hex(4)
    try:
        file.write_text(f"{token}\n")
    except OSError as error:
        _log.warning("what a crash leaves in rtpengine won't be known", reason=str(error))
    return Names(token, secrets.token_hex(4))

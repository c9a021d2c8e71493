"""A file of JSON lines that outlives whoever dies: what a stranger saw, kept outside the gateway.

Each `append` is one `write` to a file opened with O_APPEND, done before the answer leaves; what was
written survives a `kill -9` of this process too.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

_encoder = msgspec.json.Encoder()


class Ledger:
    """Appends values, a line each; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = None if path is None else os.open(path, flags, 0o644)

    @property
    def is_kept(self) -> bool:
        """Whether it has a file; if not, there is no need to make lines."""
        return self._file is not None

    def append(self, values: Iterable[object]) -> None:
        """Write the lines of `values` at once."""
        if self._file is None:
            return
        lines = _encoder.encode_lines(values)
        while lines:
            lines = lines[os.write(self._file, lines) :]

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

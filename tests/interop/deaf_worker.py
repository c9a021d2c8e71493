"""A media worker that can neither decode nor encode: who asks it to is written down, and fails.

It is run as the gateway runs its own: `deaf_worker.py FILE -m gateway.media.worker NUMBER`. The
file is there from the start, and has a line for each time that it was asked.
"""

import runpy
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from protocols.rtp import codecs


def _deafen(file: Path) -> None:
    def refuse(*given: object) -> NoReturn:
        with file.open("a") as log:
            log.write(f"{given}: {''.join(traceback.format_stack(limit=6))!r}\n")
        raise AssertionError("this worker is deaf")

    file.touch()
    for name in ("decoder", "encoder"):
        assert callable(getattr(codecs, name))
        setattr(codecs, name, refuse)


if __name__ == "__main__":
    _, named, _, module, *sys.argv[1:] = sys.argv
    _deafen(Path(named))
    runpy.run_module(module, run_name="__main__", alter_sys=True)

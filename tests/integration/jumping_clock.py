"""`python -m tests.integration.jumping_clock serve`: a gateway on a machine whose clock jumps.

The clock is off by as many seconds as stand in the file `clock` of the folder in which the process
was started; what measures spans, the monotonic clock, is right, as it is on such a machine.
"""

import sys
import time
from pathlib import Path

_FILE = Path("clock").absolute()
_right = time.time


def _now() -> float:
    try:
        return _right() + float(_FILE.read_text() or 0)
    except FileNotFoundError:
        return _right()


if __name__ == "__main__":
    time.time = _now  # before whoever takes it from there
    from gateway.cli import main

    sys.exit(main())

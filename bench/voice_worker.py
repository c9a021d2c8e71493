"""A media worker that notes where its CPU goes, as `sampled.py` says: `bench/voice.py` starts it.

python bench/voice_worker.py PROFILE NUMBER
"""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sampled import Sampler

from gateway.media.worker import main

if __name__ == "__main__":
    sampler = Sampler(Path(sys.argv.pop(1)))
    sampler.start()
    try:
        main()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)

"""`python -m tests.fuzz --seconds 60`: every target looks for a counterexample, each for its share.

A try is made from its seed alone: what failed is repeated with `--target` and `--seed`. Ends with
1 if there was a counterexample.
"""

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Final

from tests.fuzz import (
    audio,
    digest,
    documents,
    ng,
    parts,
    receipts,
    rest,
    rtp,
    sdp,
    sip,
    sip_sockets,
    smpp,
    tokens,
    voice_documents,
    voicesdk,
    webhooks,
    webrtc,
)

TARGETS: Final[dict[str, Callable[[int], None]]] = {
    "smpp": smpp.check,
    "sip": sip.check,
    "sip_sockets": sip_sockets.check,
    "parts": parts.check,
    "receipts": receipts.check,
    "twiml": documents.check,
    "voice": voice_documents.check,
    "rest": rest.check,
    "webhooks": webhooks.check,
    "digest": digest.check,
    "audio": audio.check,
    "rtp": rtp.check,
    "sdp": sdp.check,
    "webrtc": webrtc.check,
    "voicesdk": voicesdk.check,
    "tokens": tokens.check,
    "ng": ng.check,
}


def search(name: str, seconds: float, start: int) -> bool:
    """Try seeds from `start` on for so long; whether none of them failed."""
    end = time.monotonic() + seconds
    seed = start
    while seed == start or time.monotonic() < end:
        if not holds(name, seed):
            return False
        seed += 1
    print(f"{name}: {seed - start} tries from seed {start}, no counterexample", flush=True)
    return True


def holds(name: str, seed: int) -> bool:
    """Whether one try holds; if not, what failed and how to repeat it is printed."""
    try:
        TARGETS[name](seed)
    except Exception:
        traceback.print_exc()
        repeat = f"python -m tests.fuzz --target {name} --seed {seed}"
        print(f"{name}: seed {seed} is a counterexample; repeat with: {repeat}", flush=True)
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--target", choices=TARGETS, help="this one alone")
    parser.add_argument("--seed", type=int, help="one try only, that of this seed")
    options = parser.parse_args(arguments)
    names = [options.target] if options.target else list(TARGETS)
    if options.seed is not None:
        held = [holds(name, options.seed) for name in names]
    else:
        start = random.SystemRandom().randrange(1 << 48)
        held = [search(name, options.seconds / len(names), start) for name in names]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())

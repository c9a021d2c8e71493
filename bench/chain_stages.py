"""Which part of the whole chain a stack belongs to, and what the CPU of a run comes to by part.

The parts of a text's way are those of `bench/stages.py`; beside them stand the forwarder, dedup
and tracking, with what each of them reads from the store. What they and all others commit is the
store's. The client library of Kafka works for all three in tasks of its own: `Kafka's client`.
"""

from collections import defaultdict
from collections.abc import Sequence

import stages
from stages import ACCEPT, CALLBACK, DISPATCH, LOOP, OTHER, RECEIPT, STORE

FORWARDER = "forwarder"
DEDUP = "dedup"
TRACKING = "tracking"
KAFKA = "Kafka's client"
STAGES = (
    ACCEPT, STORE, DISPATCH, RECEIPT, CALLBACK, FORWARDER, DEDUP, TRACKING, KAFKA, LOOP, OTHER,
)  # fmt: skip

# The first rule whose beginning any frame has.
_RULES = (
    ("gateway/bus/forwarder.py", FORWARDER),
    ("gateway/core/dedup/", DEDUP),
    ("gateway/core/tracking/", TRACKING),
    ("gateway/bus/subscription.py", TRACKING),
    ("gateway/store/", STORE),
    ("asyncpg/", STORE),
    ("gateway/", None),
    ("aiokafka/", KAFKA),
)
# Threads beside the main one, by the beginning of their names. RocksDB's have none.
_THREADS = (("dedup", DEDUP), ("unnamed", DEDUP))


def stage_of(stack: Sequence[str]) -> str:
    """The part of a stack, outermost frame first."""
    stack = [frame for frame in stack if not frame.startswith(stages.AROUND)]
    for beginning, stage in _RULES:
        if any(frame.startswith(beginning) for frame in stack):
            return stages.stage_of(stack) if stage is None else stage
    return stages.stage_of(stack)


def totals(stacks: dict[str, float], threads: dict[str, float]) -> dict[str, float]:
    """CPU seconds by part: what no rule knows is `other`."""
    found: defaultdict[str, float] = defaultdict(float)
    found.update(stages.by_stage(stacks, stage_of))
    known = sum(stacks.values())
    for name, seconds in threads.items():
        for beginning, stage in _THREADS:
            if name.startswith(beginning):
                found[stage] += seconds
                known += seconds
                break
    found[OTHER] += sum(threads.values()) - known
    return {stage: found[stage] for stage in STAGES}

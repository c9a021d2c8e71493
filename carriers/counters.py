"""What is counted at a carrier: plain integers that the hot path raises and metrics read.

Nobody is called back: `gateway/metrics` reads these when it is asked for a page. Latencies are
kept in buckets as Prometheus has them, in seconds.
"""

from bisect import bisect_left
from typing import Final

SUBMIT_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300, 3600)
RESPONSE_BOUNDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
)
RECEIPT_BOUNDS: Final = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)


class Histogram:
    """Counts of seconds by upper bound; the last count is of what lies above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are upper bounds in seconds, ascending and inclusive."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one latency of `seconds`."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many latencies were counted."""
        return sum(self.counts)


class Counters:
    """The numbers of one carrier since the start; they only grow.

    `statuses` counts the command_status of responses to submit_sm. `submit_seconds` and
    `receipt_seconds` are fed by whoever knows when a text was accepted and which submission a
    receipt belongs to.
    """

    __slots__ = (
        "bind_attempts",
        "binds_lost",
        "final_receipts",
        "late",
        "receipt_seconds",
        "receipts",
        "received",
        "rejected",
        "response_seconds",
        "statuses",
        "submit_seconds",
        "submitted",
        "uncertain",
        "unsent",
    )

    def __init__(self) -> None:
        """Start at zero."""
        self.submitted = 0  # submit_sm written
        self.uncertain = 0  # of these: no answer in time, or the bind was lost
        self.late = 0  # answers after the response timeout
        self.unsent = 0  # handed over and not written
        self.receipts = 0
        self.final_receipts = 0  # of these: not a word on the way
        self.received = 0  # texts from handsets, or parts of them
        self.rejected = 0  # PDUs from the carrier that could not be read or were out of place
        self.bind_attempts = 0
        self.binds_lost = 0
        self.statuses: dict[int, int] = {}
        self.submit_seconds = Histogram(SUBMIT_BOUNDS)
        self.response_seconds = Histogram(RESPONSE_BOUNDS)
        self.receipt_seconds = Histogram(RECEIPT_BOUNDS)

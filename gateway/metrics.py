"""What Prometheus is told at `/metrics`: read from the rooms when it asks, never pushed.

Hot paths keep plain integers; the collectors here turn them into families at the scrape. Labels
are bounded: carriers, operations, states and codes that the configuration or a table names.
"""


class HttpCounters:
    """Requests answered, by (operation, status), with the seconds they took."""

    __slots__ = ("answered", "seconds")

    def __init__(self) -> None:
        self.answered: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, float] = {}

    def count(self, operation: str, status: int, seconds: float) -> None:
        """One request was answered."""
        key = (operation, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        self.seconds[operation] = self.seconds.get(operation, 0.0) + seconds

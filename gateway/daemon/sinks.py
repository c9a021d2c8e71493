"""The sinks of the config file as works, each with one supplier in all processes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway import sections
from gateway.bus.base import Bus
from gateway.core.tracking import sinks
from gateway.core.tracking.receiver import Receiver
from gateway.core.tracking.sinks import FileSink, SinkStats, Supply
from gateway.daemon.core import Maker
from gateway.daemon.ground import Ground
from gateway.store.base import Lease, Store

_MAX_OCTETS: Final = 64 * 2**20  # of a file
_KEEP: Final = 64  # files


class Sinks:
    """Makes suppliers, and knows how those here do."""

    def __init__(self, ground: Ground, bus: Bus, fence: Callable[[], Lease | None]) -> None:
        """`fence` gives the lease of this process."""
        self._ground = ground
        self._bus = bus
        self._fence = fence
        self._sinks = ground.config.sinks
        self._supplies: dict[str, Supply] = {}

    def works(self) -> dict[str, Maker]:
        """One for each sink."""
        return {f"sink:{each.name}": partial(self._start, each) for each in self._sinks}

    def stats(self) -> dict[str, SinkStats]:
        """Of those that were supplied here since the start, by name."""
        return {name: supply.stats() for name, supply in self._supplies.items()}

    async def forget(self, store: Store, now: float) -> None:
        """Let go of the places of sinks that the config does not name any more."""
        await sinks.forget_others(store, [each.name for each in self._sinks])

    async def _start(self, sink: sections.Sink, lease: Lease) -> Supply:
        supply = Supply(
            self._ground.store,
            self._bus,
            sink.name,
            self._open(sink),
            sinks.wanted(sink.types),
            self._fence(),
        )
        supply.start()
        self._supplies[sink.name] = supply
        return supply

    def _open(self, sink: sections.Sink) -> sinks.Sink:
        parts = urlsplit(sink.url)
        if parts.scheme == "file":
            return FileSink(Path(unquote(parts.path)), max_octets=_MAX_OCTETS, keep=_KEEP)
        main = self._ground.main_sid
        return Receiver(
            self._ground.fetcher,
            name=sink.name,
            url=sink.url,
            account_sid=main,
            token=lambda: self._ground.tokens.token_of(main),
        )

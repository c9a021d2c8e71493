"""The media plane as the config has it: workers, or workers with rtpengine before them."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from gateway.config import Config
from gateway.media.ng import Ng
from gateway.media.plane import Happened, Plane
from gateway.media.rtpengine.names import names_in
from gateway.media.rtpengine.plane import Rtpengine
from gateway.media.workers import Workers, WorkersConfig, default_workers
from gateway.model import MediaPlane

CNAME: Final = "trunkline"

Receiver = Callable[[Happened], None]


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """`plane` is what calls have, `workers` are behind it; `rtpengine` is it, if it is wanted."""

    plane: Plane
    workers: Workers
    rtpengine: Rtpengine | None = None


async def open_media(config: Config, data: Path, told: Receiver, stack: AsyncExitStack) -> Media:
    """Start what media needs; `stack` ends it. `data` is the folder that this process has."""
    wanted, place = _workers_of(config), config.media.rtpengine
    if config.media.plane is not MediaPlane.RTPENGINE or place is None:
        workers = Workers(wanted, told)
        await workers.start()
        stack.push_async_callback(workers.close)
        return Media(plane=workers, workers=workers)
    ng = Ng((place.host, place.port))
    stack.push_async_callback(ng.close)
    made: list[Workers] = []

    def behind(receiver: Receiver) -> Plane:
        made.append(Workers(wanted, receiver))
        return made[0]

    plane = Rtpengine(ng, behind, told, names_in(data), interfaces=config.media.interfaces)
    await made[0].start()
    stack.push_async_callback(made[0].close)
    await plane.start()
    stack.push_async_callback(plane.close)
    return Media(plane=plane, workers=made[0], rtpengine=plane)


def _workers_of(config: Config) -> WorkersConfig:
    first, last = config.rtp.ports
    return WorkersConfig(
        workers=config.media.workers or default_workers(),
        first=first,
        last=last,
        calls=config.media.calls,
        advertised=config.rtp.advertised,
        set_ups=config.media.set_ups,
        cname=CNAME,
    )

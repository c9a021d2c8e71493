"""Backups: `/v1/backup`, everything the store holds, as one file, while traffic goes on.

It holds the tokens and texts of all accounts, so only a main account may ask. The file is sent
as it is made: nothing of it stays here. One at a time, for each is work beside the traffic.
"""

import asyncio
from contextlib import aclosing
from typing import Final

import structlog
from aiohttp import web

from gateway.api.http import refuse
from gateway.api.resources import Access, Call, Operation, Result
from gateway.backup.file import MEDIA_TYPE
from gateway.backup.making import octets
from gateway.store.base import StoreUnavailable

_log = structlog.get_logger(__name__)

_PATIENCE: Final = 60.0  # seconds for which a client may take nothing
UNDER_WAY: Final = web.AppKey("backup", asyncio.Lock)


async def make(call: Call) -> Result:
    """Everything that is stored, as it is at this moment: a file for `trunkline restore`.

    A file that ends too early is no backup: whoever restores it is told.
    """
    under_way = call.request.app[UNDER_WAY]
    if under_way.locked():
        return refuse(20429, "A backup is being made; one at a time")
    async with (
        under_way,
        call.services.store.snapshot() as view,
        aclosing(octets(view, call.now)) as chunks,
    ):
        response = web.StreamResponse(
            headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
        )
        await response.prepare(call.request)
        try:
            async for chunk in chunks:
                async with asyncio.timeout(_PATIENCE):
                    await response.write(chunk)
        except (StoreUnavailable, TimeoutError, ConnectionError) as error:
            _log.warning("a backup was cut off", reason=str(error) or type(error).__name__)
            if call.request.transport is not None:
                call.request.transport.abort()  # or its end would look like the file's
        return response


OPERATIONS: Final = (
    Operation(
        id="MakeBackup",
        method="POST",
        path="/v1/backup",
        doc=make.__doc__ or "",
        handler=make,
        access=Access.STEER,
        produces=MEDIA_TYPE,
    ),
)

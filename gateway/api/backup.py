"""Backups: `/v1/backup`, everything the store holds, as one file, while traffic goes on.

It holds the tokens and texts of all accounts, so only a main account may ask. The file is sent
as it is made: nothing of it stays here. One at a time, for each is work beside the traffic.
"""

import asyncio
from contextlib import aclosing
from typing import Final

from aiohttp import web

from gateway.api.files import send_file
from gateway.api.http import refuse
from gateway.api.resources import Access, Call, Operation, Result
from gateway.backup.file import MEDIA_TYPE
from gateway.backup.making import octets

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
        return await send_file(call, {"Content-Type": MEDIA_TYPE}, chunks, "a backup was")


OPERATIONS: Final = (
    Operation("MakeBackup", "POST", "/v1/backup", make, Access.STEER, produces=MEDIA_TYPE),
)

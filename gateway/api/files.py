"""Answers that are sent as they are made, however long they are: files, and streams of events."""

import asyncio
from collections.abc import AsyncIterable
from typing import Final

import structlog
from aiohttp import hdrs, web

from gateway.api.http import request_headers
from gateway.api.resources import Call
from gateway.store.base import StoreUnavailable

_log = structlog.get_logger(__name__)

_PATIENCE: Final = 60.0  # seconds for which a client may take nothing


async def begin(call: Call, headers: dict[str, str]) -> web.StreamResponse:
    """The head of an answer, sent; a body follows unless that was all (`is_head`).

    `headers` name its media type at least.
    """
    whole = request_headers(call.now, call.services.clock(), headers[hdrs.CONTENT_TYPE])
    whole.update({hdrs.CACHE_CONTROL: "no-store", **headers})
    response = web.StreamResponse(headers=whole)
    await response.prepare(call.request)
    return response


def is_head(call: Call) -> bool:
    """Whether the client wants no body, so that none may be written."""
    return call.request.method == hdrs.METH_HEAD


async def send_file(
    call: Call, headers: dict[str, str], octets: AsyncIterable[bytes], what: str
) -> web.StreamResponse:
    """Send `octets`; `what` is said in the log when they end too early.

    Then the connection is cut, or its end would look like the file's.
    """
    response = await begin(call, headers)
    if is_head(call):
        return response
    try:
        async for chunk in octets:
            if chunk:
                async with asyncio.timeout(_PATIENCE):
                    await response.write(chunk)
    except (StoreUnavailable, TimeoutError, ConnectionError) as error:
        _log.warning(f"{what} cut off", reason=str(error) or type(error).__name__)
        if call.request.transport is not None:
            call.request.transport.abort()
    return response

"""A customer's web server for measuring: counts callbacks and answers 204, as cheaply as can be.

Writes `{"port", "callbacks", "cpu"}` to `--stats` twice a second.
"""

import argparse
import asyncio
import json
import resource
import signal
import time
from pathlib import Path
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
_LENGTH = b"content-length:"


class Receiver(asyncio.Protocol):
    """One keep-alive connection; requests may come cut anywhere, or several at once."""

    callbacks = 0
    failing = 0  # every so many-th request is answered with 500; 0: none

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        at = answers = 0
        while (end := data.find(b"\r\n\r\n", at)) >= 0:
            head = data[at:end].lower()
            found = head.find(_LENGTH)
            length = int(head[found + len(_LENGTH) :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if len(data) < end + 4 + length:
                break
            at = end + 4 + length
            answers += 1
        self.rest = data[at:]
        if answers:
            self.transport.write(self._answers(answers))

    def _answers(self, count: int) -> bytes:
        before, Receiver.callbacks = Receiver.callbacks, Receiver.callbacks + count
        if not Receiver.failing:
            return _ANSWER * count
        numbers = range(before + 1, before + count + 1)
        return b"".join(_ANSWER if number % Receiver.failing else _FAILURE for number in numbers)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--failing", type=int, default=0, help="answer each n-th with 500")
    arguments = parser.parse_args()
    Receiver.failing = arguments.failing
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", arguments.port)
    port = server.sockets[0].getsockname()[1]
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    while not stop.is_set():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        line = {
            "port": port,
            "at": time.time(),
            "callbacks": Receiver.callbacks,
            "cpu": usage.ru_utime + usage.ru_stime,
        }
        fresh = arguments.stats.with_suffix(".new")
        fresh.write_text(json.dumps(line))
        fresh.replace(arguments.stats)
        try:
            await asyncio.wait_for(stop.wait(), 0.5)
        except TimeoutError:
            continue


uvloop.run(main())

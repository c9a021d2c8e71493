"""An app that answers every request with one document, as fast as it can; a child of `sip.py`."""

import argparse
import asyncio
import json
from pathlib import Path


class Answering(asyncio.Protocol):
    """One connection, kept open; requests come whole or in pieces."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._rest = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            start = head.find(b"content-length:")
            length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            if len(self._rest) < end + 4 + length:
                return
            self._rest = self._rest[end + 4 + length :]
            self._transport.write(self._answer)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--twiml", required=True)
    given = parser.parse_args()
    body = given.twiml.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(answer), "127.0.0.1", 0
    )
    given.stats.write_text(json.dumps({"port": server.sockets[0].getsockname()[1]}))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

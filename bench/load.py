"""A closed loop of HTTP requests over keep-alive connections: the load for every gateway measured.

Prints one JSON line: how many were accepted (2xx), how long that took, latencies in ms. `@N@` in
the path or the body becomes the number of the request.
"""

import argparse
import asyncio
import base64
import json
import resource
import time

import uvloop


class Load:
    """The requests of one run; `deadline` ends it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.sent = 0
        self.accepted = 0
        self.refused: dict[str, int] = {}
        self.latencies: list[float] = []
        self.deadline = time.monotonic() + arguments.seconds

    def request(self) -> bytes:
        arguments = self.arguments
        self.sent += 1
        number = str(self.sent)
        body = arguments.body.replace("@N@", number)
        path = arguments.path.replace("@N@", number)
        head = f"{arguments.method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if arguments.user:
            token = base64.b64encode(arguments.user.encode()).decode()
            head += f"Authorization: Basic {token}\r\n"
        if body:
            head += "Content-Type: application/x-www-form-urlencoded\r\n"
            head += f"Content-Length: {len(body)}\r\n"
        return f"{head}\r\n{body}".encode()

    def going(self) -> bool:
        limit = self.arguments.count
        return time.monotonic() < self.deadline and (not limit or self.sent < limit)

    async def connection(self) -> None:
        while self.going():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.arguments.port)
                while self.going():
                    if not await self._one(reader, writer):
                        break
                writer.close()
            except (ConnectionError, asyncio.IncompleteReadError):
                self._refuse("connection")
                await asyncio.sleep(0.05)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One exchange; whether the connection stays."""
        started = time.monotonic()
        writer.write(self.request())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await self._body(reader, head)
        self.latencies.append(time.monotonic() - started)
        status = head[9:12].decode()
        if status.startswith("2"):
            self.accepted += 1
        else:
            self._refuse(status)
        return b"connection: close" not in head and not head.startswith(b"http/1.0")

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> None:
        if b"transfer-encoding: chunked" in head:
            while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                await reader.readexactly(length + 2)
            await reader.readexactly(2)
        elif b"content-length:" in head:
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)

    def _refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1

    def quantile(self, fraction: float) -> float:
        ordered = sorted(self.latencies)
        return round(1000 * ordered[min(len(ordered) - 1, int(fraction * len(ordered)))], 2)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--method", default="POST")
    parser.add_argument("--path", required=True)
    parser.add_argument("--body", default="")
    parser.add_argument("--user", default="", help="name:password")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--count", type=int, default=0, help="stop after so many; 0: by time")
    load = Load(parser.parse_args())
    started = time.monotonic()
    await asyncio.gather(*(load.connection() for _ in range(load.arguments.connections)))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "accepted": load.accepted,
                "refused": load.refused,
                "seconds": round(time.monotonic() - started, 2),
                "p50_ms": load.quantile(0.5) if load.latencies else None,
                "p99_ms": load.quantile(0.99) if load.latencies else None,
                "cpu": round(usage.ru_utime + usage.ru_stime, 2),
            }
        )
    )


uvloop.run(main())

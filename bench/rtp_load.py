"""The load of `rtp.py`: RTP of many legs from few sockets, many packets to a system call.

    python bench/rtp_load.py LEGS SECONDS

Prints the ports that its legs send from and listen on, reads where each is to send to, and prints
what came of it; all three are a line of JSON. A packet carries the time when it was sent, and its
latency is that of whatever relays it and of the load itself.
"""

import ctypes
import json
import os
import select
import socket
import struct
import sys
import time
from typing import Any

import numpy as np

HOST = "127.0.0.1"
PTIME = 0.02
SLICES = 20  # of the 20 ms, so that the load is even
SETTLE = 0.5  # seconds after the last packet in which others may still come
LEGS_TO_A_SOCKET = 100
SIZE = 172  # octets: a head, and 20 ms of G.711
ROOM = 256
BATCH = 512
BUFFER = 4 << 20

_libc = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class Messages:
    """Rows of octets, each a datagram; `names` are the addresses that they go to, by row."""

    def __init__(self, rows: "np.ndarray[Any, Any]", names: "np.ndarray[Any, Any] | None") -> None:
        self.rows, self._names = rows, names
        count, width = rows.shape
        self._vectors = (_Vector * count)()
        self.array = (_Message * count)()
        for number in range(count):
            self._vectors[number].base = rows.ctypes.data + number * width
            self._vectors[number].length = width
            header = self.array[number].header
            header.vectors = ctypes.pointer(self._vectors[number])
            header.vector_count = 1
            if names is not None:
                header.name = names.ctypes.data + number * names.shape[1]
                header.name_length = names.shape[1]

    def send(self, number: int) -> int:
        """Send all from the socket of this number; how many the system took."""
        sent = 0
        count = len(self.array)
        while sent < count:
            first = ctypes.byref(self.array, sent * ctypes.sizeof(_Message))
            done = _libc.sendmmsg(number, first, count - sent, 0)
            if done <= 0:
                break
            sent += done
        return sent

    def receive(self, number: int) -> int:
        """Fill as many rows as there are datagrams; how many that were."""
        return max(0, int(_libc.recvmmsg(number, self.array, len(self.array), 0, None)))


def _names(ports: list[int]) -> "np.ndarray[Any, Any]":
    """As sockaddr_in."""
    packed = b"".join(
        struct.pack("=H", socket.AF_INET)
        + struct.pack(">H", port)
        + socket.inet_aton(HOST)
        + bytes(8)
        for port in ports
    )
    return np.frombuffer(packed, dtype=np.uint8).reshape(len(ports), 16).copy()


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    made.setblocking(False)
    made.bind((HOST, 0))
    return made


class Load:
    """So many legs; `ports` has the port of each."""

    def __init__(self, legs: int) -> None:
        self._sockets = [_socket() for _ in range(0, legs, LEGS_TO_A_SOCKET)]
        self._of = [number // LEGS_TO_A_SOCKET for number in range(legs)]
        self.ports = [self._sockets[each].getsockname()[1] for each in self._of]
        self.sent = 0
        self.late = 0.0  # the worst that a packet was sent after its time, in seconds
        self._latencies: list[np.ndarray[Any, Any]] = []
        self._inbox = Messages(np.zeros((BATCH, ROOM), dtype=np.uint8), None)
        self._epoll = select.epoll()
        for each in self._sockets:
            self._epoll.register(each.fileno(), select.EPOLLIN)

    def _slices(self, targets: list[int]) -> list[list[tuple[int, Messages]]]:
        """For each slice of the 20 ms, what goes out from which socket."""
        slices = []
        for phase in range(SLICES):
            by_socket: dict[int, list[int]] = {}
            for leg in range(phase, len(targets), SLICES):
                by_socket.setdefault(self._of[leg], []).append(leg)
            slices.append(
                [
                    (self._sockets[number].fileno(), _messages(legs, targets))
                    for number, legs in by_socket.items()
                ]
            )
        return slices

    def run(self, targets: list[int], seconds: float) -> None:
        """Send to these ports, and take what comes."""
        slices = self._slices(targets)
        begun = time.monotonic() + 0.05
        step = PTIME / SLICES
        for tick in range(round(seconds / step)):
            due = begun + tick * step
            self._take_until(due)
            self.late = max(self.late, time.monotonic() - due)
            number = tick // SLICES
            head = struct.pack(">HI", number & 0xFFFF, number * 160 & 0xFFFFFFFF)
            for descriptor, messages in slices[tick % SLICES]:
                messages.rows[:, 2:8] = np.frombuffer(head, dtype=np.uint8)
                stamp = struct.pack("=d", time.monotonic())
                messages.rows[:, 12:20] = np.frombuffer(stamp, dtype=np.uint8)
                self.sent += messages.send(descriptor)
        self._take_until(time.monotonic() + SETTLE)

    def _take_until(self, due: float) -> None:
        while True:
            left = due - time.monotonic()
            for number, _ in self._epoll.poll(max(0.0, left), 64):
                self._take(number)
            if left <= 0:
                return

    def _take(self, number: int) -> None:
        count = self._inbox.receive(number)
        now = time.monotonic()
        rows = self._inbox.rows[:count]
        lengths = np.array([each.length for each in self._inbox.array[:count]], dtype=np.int64)
        stamps = rows[lengths == SIZE, 12:20].copy().view(np.float64).ravel()
        self._latencies.append(now - stamps)

    def outcome(self) -> dict[str, Any]:
        """What came of it; times in seconds."""
        every = np.concatenate([*self._latencies, np.zeros(0)])
        came = len(every)
        p50, p99 = np.quantile(every, (0.5, 0.99)) if came else (0.0, 0.0)
        return {
            "sent": self.sent,
            "came": came,
            "late": self.late,
            "load": time.process_time(),
            "p50": float(p50),
            "p99": float(p99),
        }


def _messages(legs: list[int], targets: list[int]) -> Messages:
    rows = np.full((len(legs), SIZE), 0xD5, dtype=np.uint8)
    for row, leg in enumerate(legs):
        head = struct.pack(">BBHII", 0x80, 8, 0, 0, leg + 1)
        rows[row, :12] = np.frombuffer(head, dtype=np.uint8)
    return Messages(rows, _names([targets[leg] for leg in legs]))


def main() -> None:
    legs, seconds = int(sys.argv[1]), float(sys.argv[2])
    load = Load(legs)
    print(json.dumps(load.ports), flush=True)
    load.run(json.loads(sys.stdin.readline()), seconds)
    print(json.dumps(load.outcome()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

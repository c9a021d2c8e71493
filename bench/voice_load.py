"""The load of `voice.py`: telephones that speak, and note when each packet for them came.

    python bench/voice_load.py LEGS SECONDS SPEAKING [stamped]

As `rtp_load.py`, but what it sends is G.711 that can be mixed, a tone for each leg or silence, and
what it takes is noted by the stream that it is of. The first SPEAKING of every ten legs have a
tone. Arrivals are the kernel's times, so that a load that is late itself makes nothing else late.
Where packets are passed on as they are they begin with the time when they were sent (`stamped`),
and that is what they are late by; all others are measured against the clock of their own stream.
"""

import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import rtp_load
from rtp_load import BATCH, PTIME, ROOM, SLICES, Load, Messages

from protocols.rtp import formats, g711

LATE = 0.02  # seconds after its time from which on a frame is late
SETTLED = 1.0  # seconds after the first packet from which on they count
_CONTROL = 64  # octets for the kernel's time of a datagram
_STAMP = struct.Struct("=d")
_SO_TIMESTAMPNS = 35


class Inbox(Messages):
    """Rows for datagrams, and for the time when each came."""

    def __init__(self) -> None:
        super().__init__(np.zeros((BATCH, ROOM), dtype=np.uint8), None)
        self._controls = np.zeros((BATCH, _CONTROL), dtype=np.uint8)
        for number in range(BATCH):
            header = self.array[number].header
            header.control = self._controls.ctypes.data + number * _CONTROL
            header.control_length = _CONTROL

    def receive(self, number: int) -> int:
        count = super().receive(number)
        for row in range(count):
            self.array[row].header.control_length = _CONTROL
        return count

    def times(self, count: int) -> "np.ndarray[Any, Any]":
        """When the first so many came, seconds."""
        parts = self._controls[:count, 16:32].copy().view(np.int64)
        times: np.ndarray[Any, Any] = parts[:, 0] + parts[:, 1] / 1e9
        return times


class Phones(Load):
    """So many legs; each 20 ms they say 20 ms."""

    def __init__(self, legs: int, speaking: int, *, is_stamped: bool) -> None:
        super().__init__(legs)
        self._speaking = speaking
        self._is_stamped = is_stamped
        self._inbox = Inbox()
        for each in self._sockets:
            each.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._heads: list[np.ndarray[Any, Any]] = []
        self._times: list[np.ndarray[Any, Any]] = []

    def run(self, targets: list[int], seconds: float) -> None:
        slices = self._slices(targets)
        for slice_ in slices:
            for _, messages in slice_:
                self._voice(messages)
        begun = time.monotonic() + 0.05
        step = PTIME / SLICES
        for tick in range(round(seconds / step)):
            due = begun + tick * step
            self._take_until(due)
            self.late = max(self.late, time.monotonic() - due)
            number = tick // SLICES
            head = struct.pack(">HI", number & 0xFFFF, number * 160 & 0xFFFFFFFF)
            stamp = _STAMP.pack(time.time())
            for descriptor, messages in slices[tick % SLICES]:
                messages.rows[:, 2:8] = np.frombuffer(head, dtype=np.uint8)
                if self._is_stamped:
                    messages.rows[:, 12:20] = np.frombuffer(stamp, dtype=np.uint8)
                self.sent += messages.send(descriptor)
        self._take_until(time.monotonic() + rtp_load.SETTLE)

    def _voice(self, messages: Messages) -> None:
        """Give each leg what it says: a whole number of periods of its tone."""
        at = np.arange(160) / 8000
        codes = g711.codes(formats.PCMU)
        for row in messages.rows:
            leg = int.from_bytes(row[8:12].tobytes(), "big") - 1
            peak = 2000 if leg % 10 < self._speaking else 0
            samples = np.rint(peak * np.sin(2 * np.pi * (300 + 50 * (leg % 40)) * at))
            row[1] = 0
            row[12:] = codes[samples.astype(np.int16).view(np.uint16)]

    def _take(self, number: int) -> None:
        count = self._inbox.receive(number)
        heads = self._inbox.rows[:count, :20]
        is_sound = heads[:, 1] & 0x7F == 0  # RTCP comes here too
        self._heads.append(heads[is_sound])
        self._times.append(self._inbox.times(count)[is_sound])

    def outcome(self) -> dict[str, Any]:
        heads, times = np.concatenate(self._heads), np.concatenate(self._times)
        ssrcs = heads[:, 8:12].copy().view(">u4").ravel()
        clocks = heads[:, 4:8].copy().view(">u4").ravel()
        numbers = heads[:, 2:4].copy().view(">u2").ravel()
        stamps = heads[:, 12:20].copy().view(np.float64).ravel()
        order = np.argsort(ssrcs, kind="stable")
        edges = np.flatnonzero(np.diff(ssrcs[order])) + 1
        found = [
            _judged(
                times[part], clocks[part], numbers[part], stamps[part] if self._is_stamped else None
            )
            for part in np.split(order, edges)
            if len(part)
        ]
        behind = np.concatenate([each for each, _ in found]) if found else np.zeros(1)
        return {
            "streams": len(found),
            "came": len(behind),
            "missing": sum(missing for _, missing in found),
            "late": int((behind > LATE).sum()),
            "p50": float(np.median(behind)),
            "p99": float(np.quantile(behind, 0.99)),
            "load": time.process_time(),
            "load_late": self.late,
        }


def _judged(
    times: "np.ndarray[Any, Any]",
    clocks: "np.ndarray[Any, Any]",
    numbers: "np.ndarray[Any, Any]",
    stamps: "np.ndarray[Any, Any] | None",
) -> "tuple[np.ndarray[Any, Any], int]":
    """By how much each packet of one stream is late, seconds, and how many never came."""
    counts = times > times.min() + SETTLED
    sent = None if stamps is None else stamps[counts]
    times, clocks, numbers = (each[counts] for each in (times, clocks, numbers))
    if not len(times):
        return np.zeros(0), 0
    unwrapped = np.unwrap(numbers.astype(np.float64), period=0x10000)
    missing = int(unwrapped.max() - unwrapped.min()) + 1 - len(set(unwrapped.tolist()))
    if sent is not None:
        return times - sent, missing
    passed = (clocks - clocks[0]).astype(np.uint32).view(np.int32) / 8000
    behind = times - passed
    return behind - np.quantile(behind, 0.01), missing


def main() -> None:
    legs, seconds, speaking = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    phones = Phones(legs, speaking, is_stamped="stamped" in sys.argv)
    print(json.dumps(phones.ports), flush=True)
    phones.run(json.loads(sys.stdin.readline()), seconds)
    print(json.dumps(phones.outcome()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()

"""Commands that wait for answers, as a machine: what goes out again when, and when to give up.

A command goes out again under the same cookie until it has its answer or patience ends; who is
asked carries it out once. Where nobody listens, the system says so: then every command that waits
is given up at once. Other trouble on the way may pass and is waited out. Times are in seconds.
"""

import heapq
from collections import deque
from typing import Final

import msgspec

from protocols.ng import message
from protocols.ng.errors import LocalProtocolError, RemoteProtocolError
from protocols.ng.events import Answered, Event, GaveUp
from protocols.ng.message import Message

PATIENCE: Final = 2.0
FIRST_PAUSE: Final = 0.25  # before a command goes out again, doubled each time


class _Asked(msgspec.Struct, kw_only=True):
    """A command as a datagram, when it goes out again and how long after that the next time."""

    octets: bytes
    due: float
    pause: float
    ends: float


class Session:
    """One peer's. Many commands may wait at once; answers that nobody waits for are dropped."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._asked: dict[str, _Asked] = {}
        self._due: list[tuple[float, str]] = []  # a heap; what was answered stays until its time
        self._sending: list[bytes] = []
        self._events: deque[Event] = deque()
        self._trouble = ""

    def ask(self, command: Message, now: float) -> None:
        """Send a command. Raises `LocalProtocolError` for what can't be, or has a cookie again."""
        if command.cookie in self._asked:
            raise LocalProtocolError(f"the cookie {command.cookie} waits already")
        octets = message.write(command)
        ends = now + self._patience
        asked = _Asked(octets=octets, due=now, pause=FIRST_PAUSE, ends=ends)
        self._asked[command.cookie] = asked
        self._send(command.cookie, asked, now)

    def forget(self, cookie: str) -> None:
        """Nobody waits for an answer; one that is there already is dropped by who asks."""
        self._asked.pop(cookie, None)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take a datagram."""
        try:
            answer = message.read(data)
        except RemoteProtocolError:
            return
        self._trouble = ""
        if self._asked.pop(answer.cookie, None) is not None:
            self._events.append(Answered(cookie=answer.cookie, fields=answer.fields))

    def next_event(self) -> Event | None:
        """What happened next; None if that was all."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> list[bytes]:
        """Datagrams that are to go out now, each once."""
        sending, self._sending = self._sending, []
        return sending

    def timer(self) -> float | None:
        """When `handle_timer` is wanted."""
        while self._due:
            due, cookie = self._due[0]
            asked = self._asked.get(cookie)
            if asked is not None and asked.due == due:
                return due
            heapq.heappop(self._due)
        return None

    def handle_timer(self, now: float) -> None:
        """Send again what is due, and give up what waited for too long."""
        while (due := self.timer()) is not None and due <= now:
            _, cookie = heapq.heappop(self._due)
            asked = self._asked[cookie]
            if now >= asked.ends:
                del self._asked[cookie]
                reason = f"did not answer within {self._patience:g} s{self._trouble}"
                self._events.append(GaveUp(cookie=cookie, reason=reason))
            else:
                self._send(cookie, asked, now)

    def report(self, trouble: str) -> None:
        """Something is wrong on the way, which may pass: it is told of if no answer comes."""
        self._trouble = f" ({trouble})"

    def fail(self, reason: str) -> None:
        """Give up all that waits."""
        self._events.extend(GaveUp(cookie=each, reason=reason) for each in self._asked)
        self._asked.clear()
        self._due.clear()
        self._sending.clear()

    def _send(self, cookie: str, asked: _Asked, now: float) -> None:
        self._sending.append(asked.octets)
        asked.due = min(now + asked.pause, asked.ends)
        asked.pause *= 2
        heapq.heappush(self._due, (asked.due, cookie))

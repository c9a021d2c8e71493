"""The process that writes: the store's commits in, one transaction for all that wait, told back.

The store starts it with one end of a pair of unix sockets, the path of the database, the time, and
the lock of the database, which it holds as long as it may write. It ends when the other end is
closed: what was not answered by then was promised to nobody. Signals that a terminal or a service
manager sends to all processes are the gateway's matter.
"""

import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

from gateway.store.base import StoreError
from gateway.store.sqlite_orders import LINGER, Drop, Order, Outcome, work
from gateway.store.sqlite_wire import (
    Answered,
    Declare,
    Frames,
    Ready,
    Refused,
    Rows,
    Settled,
    Statements,
    Unfit,
    frame,
    orders,
    told,
)
from gateway.store.sqlite_writer import Commit, Writer, prepare

_READ: Final = 1 << 20


class Service:
    """Does what comes over `store`, in its order."""

    def __init__(self, store: socket.socket, writer: Writer) -> None:
        self._store = store
        self._writer = writer
        self._frames: Frames[Declare | Rows | Order] = orders()
        self._statements = Statements()
        self._come_together = False

    def run(self) -> None:
        """Until the store is gone."""
        while octets := self._store.recv(_READ):
            if self._come_together:
                # A group costs as much as several commits in it do: on a fast disk, waiting for
                # them is cheaper than beginning at once. Who commits alone never waits.
                time.sleep(LINGER)
                octets += self._waiting()
            items = self._items(octets)
            self._come_together = len(items) > 1
            for commits, came in work(self._writer, items):
                said = _answered(came) if commits is None else _settled(commits, came)
                self._store.sendall(said)

    def _waiting(self) -> bytes:
        try:
            return self._store.recv(_READ, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def _items(self, octets: bytes) -> list[Commit | Order]:
        items: list[Commit | Order] = []
        for said in self._frames.read(octets):
            match said:
                case Rows():
                    items.append(self._statements.commit(said))
                case Declare():
                    self._statements.learn(said)
                case _:
                    if isinstance(said, Drop):  # what names them from here on declares them again
                        self._statements.forget(said.generation.tables)
                    items.append(said)
        return items


def _settled(commits: int, outcome: Outcome) -> bytes:
    return frame(
        Settled(
            commits=commits,
            errors={at: told(error) for at, error in outcome.errors.items()},
            applied=outcome.applied,
            seconds=outcome.seconds,
            trouble=outcome.trouble,
        )
    )


def _answered(answer: Any) -> bytes:
    if isinstance(answer, StoreError):
        return frame(Refused(told(answer)))
    return frame(Answered(answer))


def serve(store: socket.socket, path: Path, now: float) -> None:
    """Open the database, say how that went, and write until the store is gone."""
    try:
        writer, applied, newest = prepare(path, now)
    except StoreError as error:
        store.sendall(frame(Unfit(str(error))))
        return
    try:
        store.sendall(frame(Ready(applied, newest)))
        Service(store, writer).run()
    except ConnectionError:
        pass  # the store is gone
    finally:
        writer.close()


def main() -> None:
    """Be a store's writer until it is gone."""
    for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    number, path, now = sys.argv[1:4]
    with socket.socket(fileno=int(number)) as store:
        serve(store, Path(path), float(now))


if __name__ == "__main__":
    main()

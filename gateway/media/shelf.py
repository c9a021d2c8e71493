"""The nodes of one kind that a call has at work, kept as its newest graph says.

A node that is in the newer graph as it was goes on. One that differs becomes what it is now, if
its kind can; if not, another one takes its place.
"""

from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from gateway.media.graph import Node

N = TypeVar("N", bound=Node)


class Working(Protocol):
    """A node at work, as far as its being there goes."""

    def close(self, now: float) -> None:
        """Be there no more."""


W = TypeVar("W", bound=Working)


class Kind(msgspec.Struct, Generic[N, W], frozen=True, kw_only=True):
    """How nodes of the kind `node` are made of what the graph says, for a call of that name.

    `become` makes one that is at work what the graph says now; without it they never change.
    """

    node: type[N]
    make: Callable[[str, N, float], W]
    become: Callable[[W, N, float], None] | None = None


class Shelf(Generic[N, W]):
    """One call's nodes of one kind, `at_work` by their ids."""

    def __init__(self, kind: Kind[N, W], call: str) -> None:
        self.at_work: dict[str, W] = {}
        self._kind: Final = kind
        self._call: Final = call
        self._nodes: dict[str, N] = {}

    def keep(self, nodes: Iterable[Node], now: float) -> None:
        """Have those of these that are of the kind, and no others."""
        wanted = {each.id: each for each in nodes if isinstance(each, self._kind.node)}
        for name in [name for name in self._nodes if name not in wanted]:
            self._close(name, now)
        for name, node in wanted.items():
            self._have(name, node, now)

    def _have(self, name: str, node: N, now: float) -> None:
        before, self._nodes[name] = self._nodes.get(name), node
        if node == before:
            return
        if before is not None and self._kind.become is not None:
            self._kind.become(self.at_work[name], node, now)
            return
        if before is not None:
            self.at_work.pop(name).close(now)
        self.at_work[name] = self._kind.make(self._call, node, now)

    def _close(self, name: str, now: float) -> None:
        del self._nodes[name]
        self.at_work.pop(name).close(now)

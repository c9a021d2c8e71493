"""The message path put together: its rooms, made in the order in which they need each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from carriers.model import Carrier, OnUncertain
from carriers.network import Network
from carriers.routing import Plan, RouteRequest
from gateway.core.jobs import QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.runner import JobRunner
from gateway.messages.accept import Acceptor
from gateway.messages.backlog import Backlogs
from gateway.messages.book import Book
from gateway.messages.callbacks import CallbackPolicy
from gateway.messages.commit import Committer
from gateway.messages.correlate import Correlator
from gateway.messages.dispatch import Dispatcher
from gateway.messages.follow import Follower
from gateway.messages.ownership import Owner
from gateway.messages.parking import Parking
from gateway.messages.receive import Holder, Jobs, Receiver
from gateway.messages.service import Messages
from gateway.messages.settle import Settler
from gateway.messages.states import StateWriter
from gateway.messages.wire import Composer
from gateway.store.base import Store

_REMEMBERED = 50_000  # messages that wait for receipts in memory; others are read when one comes
_NO_LIMIT = QueuePolicy(concurrency=1_000_000)  # windows and throttles limit dispatch
_GRACE = 86400.0  # of a carrier that is not configured any more
_RETRY = RetryPolicy(base=0.5, cap=60.0)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of `[messages]`."""

    max_body: int
    max_accepts_in_flight: int
    max_in_memory: int
    max_parked_receipts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the path stands on.

    `carriers`, by name, is looked at anew each time, so that it may change. `may_send` says
    whether an account is active, `holder` whose a number is, `inbound` which jobs tell of an
    inbound text. While `overloaded` says so nothing new is accepted. `owner` is this process:
    what it does for its carriers is fenced by its lease.
    """

    store: Store
    network: Network
    runner: JobRunner
    carriers: Mapping[str, Carrier]
    plan: Callable[[RouteRequest, float], Plan]
    may_send: Callable[[str], bool]
    holder: Holder
    inbound: Jobs
    policy: CallbackPolicy
    bounds: Bounds
    overloaded: Callable[[], bool]
    owner: Owner
    clock: Callable[[], float]
    fraction: Callable[[], float]

    def policy_of(self, name: str) -> OnUncertain:
        """What a lost answer of the carrier `name` means."""
        carrier = self.carriers.get(name)
        return carrier.on_uncertain if carrier is not None else OnUncertain.RESEND

    def grace_of(self, name: str) -> float:
        """Seconds for which receipts of the carrier `name` are waited for."""
        carrier = self.carriers.get(name)
        return carrier.receipt_grace if carrier is not None else _GRACE


class Path(NamedTuple):
    """The two ends that the daemon holds: what is asked of the path, and its life."""

    messages: Messages
    follower: Follower


def build(around: Around) -> Path:
    """Make the rooms on top of what is `around`."""
    shared = _Shared(around)
    return Path(messages=_messages(around, shared), follower=_follower(around, shared))


class _Shared:
    """The rooms that both ends use."""

    def __init__(self, around: Around) -> None:
        bounds = around.bounds
        self.book = Book(_REMEMBERED)
        self.states = StateWriter(around.policy)
        self.backlogs = Backlogs(bounds.max_in_memory)
        self.parking = Parking(bounds.max_parked_receipts)
        self.composer = Composer(around.carriers, self.book)
        self.correlator = Correlator(around.store, self.book)
        self.dispatcher = Dispatcher(
            store=around.store,
            network=around.network,
            scheduler=Scheduler(policies(_NO_LIMIT, {}), _RETRY),
            book=self.book,
            composer=self.composer,
            backlogs=self.backlogs,
            may_send=around.may_send,
            owner=around.owner,
            clock=around.clock,
        )
        self.committer = Committer(
            store=around.store,
            network=around.network,
            runner=around.runner,
            dispatcher=self.dispatcher,
            owner=around.owner,
            clock=around.clock,
        )


def _messages(around: Around, shared: _Shared) -> Messages:
    return Messages(
        store=around.store,
        acceptor=Acceptor(
            plan=around.plan,
            composer=shared.composer,
            may_send=around.may_send,
            max_body=around.bounds.max_body,
            fraction=around.fraction,
        ),
        dispatcher=shared.dispatcher,
        committer=shared.committer,
        correlator=shared.correlator,
        book=shared.book,
        states=shared.states,
        backlogs=shared.backlogs,
        parking=shared.parking,
        max_accepts_in_flight=around.bounds.max_accepts_in_flight,
        overloaded=around.overloaded,
        clock=around.clock,
    )


def _follower(around: Around, shared: _Shared) -> Follower:
    return Follower(
        store=around.store,
        network=around.network,
        dispatcher=shared.dispatcher,
        committer=shared.committer,
        correlator=shared.correlator,
        settler=Settler(shared.book, shared.states, around.policy_of),
        receiver=Receiver(holder=around.holder, jobs=around.inbound),
        parking=shared.parking,
        backlogs=shared.backlogs,
        may_send=around.may_send,
        composer=shared.composer,
        book=shared.book,
        grace_of=around.grace_of,
        clock=around.clock,
    )

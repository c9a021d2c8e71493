"""The message path put together: its rooms, made in the order in which they need each other."""

from collections.abc import Callable, Mapping
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
from gateway.messages.flight import Flight
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


class Path(NamedTuple):
    """The two ends that the daemon holds: what is asked of the path, and its life."""

    messages: Messages
    follower: Follower


def build(
    *,
    store: Store,
    network: Network,
    runner: JobRunner,
    carriers: Mapping[str, Carrier],
    plan: Callable[[RouteRequest, float], Plan],
    may_send: Callable[[str], bool],
    holder: Holder,
    inbound: Jobs,
    policy: CallbackPolicy,
    bounds: Bounds,
    overloaded: Callable[[], bool],
    owner: Owner,
    clock: Callable[[], float],
    fraction: Callable[[], float],
) -> Path:
    """Make the rooms.

    `carriers`, by name, is looked at anew each time, so that it may change. `may_send` says
    whether an account is active, `holder` whose a number is, `inbound` which jobs tell of an
    inbound text. While `overloaded` says so nothing new is accepted. `owner` is this process:
    what it does for its carriers is fenced by its lease.
    """

    def policy_of(name: str) -> OnUncertain:
        carrier = carriers.get(name)
        return carrier.on_uncertain if carrier is not None else OnUncertain.RESEND

    def grace_of(name: str) -> float:
        carrier = carriers.get(name)
        return carrier.receipt_grace if carrier is not None else _GRACE

    book = Book(_REMEMBERED)
    states = StateWriter(policy)
    backlogs = Backlogs(bounds.max_in_memory)
    parking = Parking(bounds.max_parked_receipts)
    composer = Composer(carriers, book)
    correlator = Correlator(store, book)
    scheduler: Scheduler[Flight] = Scheduler(policies(_NO_LIMIT, {}), _RETRY)
    dispatcher = Dispatcher(
        store=store,
        network=network,
        scheduler=scheduler,
        book=book,
        composer=composer,
        backlogs=backlogs,
        may_send=may_send,
        owner=owner,
        clock=clock,
    )
    committer = Committer(
        store=store,
        network=network,
        runner=runner,
        dispatcher=dispatcher,
        owner=owner,
        clock=clock,
    )
    messages = Messages(
        store=store,
        acceptor=Acceptor(
            plan=plan,
            composer=composer,
            may_send=may_send,
            max_body=bounds.max_body,
            fraction=fraction,
        ),
        dispatcher=dispatcher,
        committer=committer,
        correlator=correlator,
        book=book,
        states=states,
        backlogs=backlogs,
        parking=parking,
        max_accepts_in_flight=bounds.max_accepts_in_flight,
        overloaded=overloaded,
        clock=clock,
    )
    follower = Follower(
        store=store,
        network=network,
        dispatcher=dispatcher,
        committer=committer,
        correlator=correlator,
        settler=Settler(book, states, policy_of),
        receiver=Receiver(holder=holder, jobs=inbound),
        parking=parking,
        backlogs=backlogs,
        may_send=may_send,
        composer=composer,
        book=book,
        grace_of=grace_of,
        clock=clock,
    )
    return Path(messages=messages, follower=follower)

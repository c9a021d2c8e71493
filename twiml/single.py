"""Verbs that ask for one thing and are done when it has ended, as rows.

A row says how it is asked for, which of the verb's URLs are made absolute, where its end leads, and
whether that is of interest when no document waits for it any more.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from twiml.call import Queueing, QueueLeft, Referred, Running, Sending, Speaking, Texted, Told
from twiml.machine import Debt, Desk, Machine, Verbs, resolved, told
from twiml.outcome import Begun, Next, Outcome, Wait
from twiml.parameters import queue_parameters, refer_parameters, sms_parameters
from twiml.verbs import Echo, Enqueue, Pause, Play, Refer, Say, Sms

__all__ = ["pauses", "prompts", "queueing", "sending"]

V = TypeVar("V", bound=msgspec.Struct)


def _next(verb: object, event: Told) -> Outcome:
    return Next()


class Row(msgspec.Struct, Generic[V], frozen=True, kw_only=True):
    """One such verb; `after` gets the event that ends what `ask` asked for."""

    ask: Callable[[int, V], None]
    after: Callable[[V, Any], Outcome] = _next
    urls: tuple[str, ...] = ()
    owes: frozenset[Debt] = frozenset()


class Single(Machine, Generic[V]):
    """A verb of which `row` says all."""

    def __init__(self, row: Row[V], verb: V, desk: Desk) -> None:
        self.owes = row.owes
        self._row = row
        self._verb = resolved(verb, desk.base, *row.urls)
        self._desk = desk

    def begin(self) -> Begun:
        """See `Machine`."""
        self._row.ask(self._desk.ask(), self._verb)
        return Wait()

    def on(self, event: Told) -> Begun:
        """See `Machine`."""
        return self._row.after(self._verb, event)


def pauses(call: Running) -> Verbs:
    """Waiting for seconds."""

    def pause(ask: int, verb: Pause) -> None:
        call.pause(ask, verb.length)

    return {Pause: partial(Single, Row(ask=pause))}


def prompts(call: Speaking) -> Verbs:
    """What is heard; how often, and how it sounds, is the call's."""
    return {
        **pauses(call),
        Say: partial(Single, Row(ask=call.say)),
        Play: partial(Single, Row(ask=call.play, urls=("url",))),
    }


def queueing(call: Queueing) -> Verbs:
    """Waiting for somebody: the action is told of any end, though the call went elsewhere by it."""
    row = Row(ask=call.enqueue, after=_dequeued, urls=("action", "wait_url"), owes=frozenset(Debt))
    return {Enqueue: partial(Single, row)}


def sending(call: Sending) -> Verbs:
    """What goes elsewhere; who was sent elsewhere hangs up, and its action is told all the same."""

    def echo(ask: int, verb: Echo) -> None:
        call.echo(ask)

    return {
        Sms: partial(Single, Row(ask=call.text, after=_texted, urls=("action", "status_callback"))),
        Refer: partial(
            Single,
            Row(
                ask=call.refer,
                after=_referred,
                urls=("action",),
                owes=frozenset({Debt.HUNG_UP}),
            ),
        ),
        Echo: partial(Single, Row(ask=echo)),
    }


def _dequeued(verb: Enqueue, left: QueueLeft) -> Outcome:
    return told(verb.action, verb.method, queue_parameters(left))


def _texted(verb: Sms, texted: Texted) -> Outcome:
    return told(verb.action, verb.method, sms_parameters(texted))


def _referred(verb: Refer, referred: Referred) -> Outcome:
    return told(verb.action, verb.method, refer_parameters(referred))

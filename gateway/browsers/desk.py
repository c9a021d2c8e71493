"""The clients of one process: who is there, under which identity, with which calls.

An identity is of its account: a token of another one finds nobody here, and takes up no call.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
import structlog

from gateway.access.tokens import Believed
from gateway.browsers.bearers import Bearers
from gateway.browsers.call_paces import CallPaces
from gateway.browsers.client import Access, Client
from gateway.browsers.dialogue import Dialogue
from gateway.browsers.roster import Roster
from gateway.calls.browser import MOST_DEVICES, Hearer
from gateway.calls.call_messages import Said
from gateway.store.base import StoreError
from protocols.sip.transport import Flow
from protocols.voicesdk.errors import Code, Fault
from protocols.voicesdk.events import Invited, Listened, Messaged, Reconnected

K = TypeVar("K")
T = TypeVar("T")

_log = structlog.get_logger(__name__)

MOST_SOCKETS: Final = 50
"""Of one identity; others are refused, for those that are there may have calls."""

_MOST_ENDED: Final = 1000
_NOT_YOURS: Final = "the call can't be taken up again"
_NO_INCOMING: Final = "the token has no grant for incoming calls"
_NO_APPLICATION: Final = "the token has no grant for outgoing calls"
_TOO_OFTEN: Final = "calls begin too often, try again in a few seconds"
_SOMEBODY_ELSE: Final = "a newer token has to be of the same identity"
_AWAY: Final = "the store is away, try again"
_TOO_MANY: Final = f"{MOST_SOCKETS} devices of this identity are there, the most that may be"
_DRAINS: Final = "the gateway goes down"

Verdict = Access | Fault
Verify = Callable[[str], Awaitable[Verdict]]
Doubt = Callable[[Believed], Fault | None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a client makes: who, what runs for it, and what its app says of it."""

    account_sid: str
    identity: str
    application_sid: str
    parameters: tuple[tuple[str, str], ...]
    event: Invited
    client: Client

    @property
    def flow(self) -> Flow:
        """See `browser_calls.Asking`."""
        return self.client.flow

    def open(self, sid: str, name: str, hearer: Hearer) -> Dialogue:
        """See `browser_calls.Asking`."""
        return self.client.open_called(self.event, sid, name, hearer)


class Callers(Protocol):
    """What makes calls of what clients want."""

    def call(self, wanted: Wanted) -> Fault | None:
        """Begin one; what is wrong with it if it can't be."""
        ...


Heard = Callable[[str, str, Said], Awaitable[object]]
"""A client said something in a call: account, call, message. Raises `StoreError`."""


class Desk:
    """See the module. `verify` looks at tokens, `doubt` again at those that were good.

    `heard` takes messages of clients.
    """

    def __init__(
        self,
        *,
        verify: Verify,
        doubt: Doubt,
        heard: Heard,
        clock: Callable[[], float],
        message_sid: Callable[[], str],
        gateway: str,
        edge: str,
    ) -> None:
        self._verify = verify
        self._doubt = doubt
        self._heard = heard
        self._clock = clock
        self._message_sid = message_sid
        self._gateway = gateway
        self._edge = edge
        self._paces = CallPaces()
        self.roster = Roster(clock)
        self._bearers = Bearers(doubt)
        self._callers: Callers
        self._clients: dict[tuple[str, str], list[Client]] = {}
        self._registered: dict[tuple[str, str], list[Client]] = {}
        self._dialogues: dict[str, list[Dialogue]] = {}  # by the SID of the call
        self._held: dict[tuple[str, str], list[Dialogue]] = {}  # the same, by whose they are
        self._ended: OrderedDict[str, Dialogue] = OrderedDict()  # while their clients were away
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = False

    def furnish(self, callers: Callers) -> None:
        """Say what makes calls, before any client comes."""
        self._callers = callers

    def ledger(self) -> dict[str, int]:
        """How many clients there are, how many of them take calls, and the calls that they have.

        `held` are the identities and accounts that may begin no call at this moment.
        """
        return {
            "clients": sum(map(len, self._clients.values())),
            "registered": sum(map(len, self._registered.values())),
            "calls": sum(map(len, self._dialogues.values())),
            "tasks": len(self._tasks),
            "held": self._paces.held(self._clock()),
        }

    # `browser.Devices`

    def of(self, account_sid: str, identity: str) -> Sequence[Client]:
        """See `browser.Devices`: whose token is none by now is not called."""
        known = self._registered.get((account_sid, identity), [])
        good = [each for each in known if each.access and self._doubt(each.access) is None]
        return good[: -MOST_DEVICES - 1 : -1]

    # `client.Desk`

    def listen(self, client: Client, event: Listened) -> None:
        """See `client.Desk`."""
        self._begin(self._listen(client, event))

    async def _listen(self, client: Client, event: Listened) -> None:
        try:
            verdict = await self._verify(event.token)
        except StoreError:
            verdict = Fault(code=Code.UNKNOWN, message=_AWAY)
        if client.session.is_closed:
            return
        if isinstance(verdict, Fault):
            client.refuse(verdict)
            return
        who = (verdict.account_sid, verdict.identity)
        if client.access is not None and who != (client.account_sid, client.identity):
            client.refuse(Fault(code=Code.BAD_TOKEN, message=_SOMEBODY_ELSE))
            return
        seated = self._clients.get(who, [])
        if client not in seated and len(seated) >= MOST_SOCKETS:
            client.refuse(Fault(code=Code.TOO_OFTEN, message=_TOO_MANY))
            return
        missed: Sequence[Dialogue] = ()
        if client not in seated:
            self._clients.setdefault(who, []).append(client)
            self.roster.came(verdict.account_sid, client)
            missed = self._rings_that_are_over(who, client)
        self._bearers.add(client, verdict)
        ttl = max(0.0, verdict.expires - self._clock())
        rang = [each.sid for each in self._missed_by(who, client)]
        client.accept(verdict, ttl, self._gateway, self._edge, rang)
        for each in missed:
            client.say("cancel", each.sid, {})

    def _rings_that_are_over(self, who: tuple[str, str], client: Client) -> Sequence[Dialogue]:
        """What a device that is back may still show as ringing.

        Which device of an identity it is nobody says: any with the same browser may be the one,
        though not for a call that one of them has.
        """
        now = asyncio.get_running_loop().time()
        stands = {each.sid for each in self._held.get(who, ())}
        return [
            each
            for each in self._ended.values()
            if (each.account_sid, each.identity, each.agent) == (*who, client.agent)
            and each.rang_until > now
            and each.sid not in stands
        ]

    def ready(self, client: Client) -> None:
        """See `client.Desk`: it rings where it rang when a socket dropped; for each call once."""
        for each in self._missed_by((client.account_sid, client.identity), client):
            if each.sid not in client.calls:
                each.ring_anew(client)

    def missed(self, client: Client, sid: str) -> Dialogue | None:
        """See `client.Desk`."""
        who = (client.account_sid, client.identity)
        return next((each for each in self._missed_by(who, client) if each.sid == sid), None)

    def _missed_by(self, who: tuple[str, str], client: Client) -> Sequence[Dialogue]:
        held = self._held.get(who, ())
        return [each for each in held if each.is_missed and each.agent == client.agent]

    def register(self, client: Client) -> Fault | None:
        """See `client.Desk`: said again it changes nothing."""
        access = client.access
        if access is None or not access.incoming_allow:
            return Fault(code=Code.UNAUTHORIZED, message=_NO_INCOMING)
        refused = self._doubt(access)
        if refused is None and not client.is_registered:
            client.is_registered = True
            who = (client.account_sid, client.identity)
            self._registered.setdefault(who, []).append(client)
        return refused

    def unregister(self, client: Client) -> None:
        """See `client.Desk`."""
        if client.is_registered:
            client.is_registered = False
            _take(self._registered, (client.account_sid, client.identity), client)

    def call(self, client: Client, event: Invited) -> None:
        """See `client.Desk`."""
        refused = self._begin_call(client, event)
        if refused is not None:
            client.refuse_call(event.callsid, refused)

    def _begin_call(self, client: Client, event: Invited) -> Fault | None:
        access = client.access
        if access is None or not access.outgoing_application_sid:
            return Fault(code=Code.UNAUTHORIZED, message=_NO_APPLICATION)
        refused = self._doubt(access)
        if refused is not None:
            return refused
        if self._is_draining:
            return Fault(code=Code.OVERLOADED, message=_DRAINS)
        if not self._paces.admits(access.account_sid, access.identity, self._clock()):
            return Fault(code=Code.TOO_OFTEN, message=_TOO_OFTEN)
        given = dict(access.outgoing_params)  # what the token says nobody can say otherwise
        parameters = {**dict(event.parameters), **given}
        wanted = Wanted(
            account_sid=access.account_sid,
            identity=access.identity,
            application_sid=access.outgoing_application_sid,
            parameters=tuple(parameters.items()),
            event=event,
            client=client,
        )
        return self._callers.call(wanted)

    def come_back(self, client: Client, event: Reconnected) -> None:
        """See `client.Desk`: how long a refusal takes does not say why."""
        found: Dialogue | None = None
        for each in (*self._ended_unheard(event.callsid), *self._dialogues.get(event.callsid, ())):
            is_theirs = each.proves(event.reconnect)
            who = (each.account_sid, each.identity)
            if is_theirs and who == (client.account_sid, client.identity):
                found = each
        if found is None:
            fault = Fault(code=Code.NOT_RECONNECTED, message=_NOT_YOURS)
            client.refuse_call(event.callsid, fault)
        elif found.unsaid is not None:
            self._ended.pop(found.sid, None)
            client.refuse_call(event.callsid, found.unsaid.fault)
        else:
            found.come_back(client, event.sdp)

    def _ended_unheard(self, sid: str) -> Sequence[Dialogue]:
        """The call whose end its client missed, if it may still hear of it."""
        found = self._ended.get(sid)
        now = asyncio.get_running_loop().time()
        if found is None or found.unsaid is None or found.unsaid.until <= now:
            return ()
        return (found,)

    def message(self, dialogue: Dialogue, event: Messaged) -> None:
        """See `client.Desk`."""
        self._begin(self._message(dialogue, event))

    async def _message(self, dialogue: Dialogue, event: Messaged) -> None:
        said = Said(
            sid=event.voice_event_sid or self._message_sid(),
            content=event.content.decode(),
            content_type=event.content_type,
        )
        try:
            await self._heard(dialogue.account_sid, dialogue.sid, said)
        except StoreError:
            fault = Fault(code=Code.UNKNOWN, message=_AWAY)
            dialogue.acknowledge(event.voice_event_sid, fault)
        else:
            dialogue.acknowledge(event.voice_event_sid, None)

    def begun(self, dialogue: Dialogue) -> None:
        """See `client.Desk`."""
        self._dialogues.setdefault(dialogue.sid, []).append(dialogue)
        self._held.setdefault((dialogue.account_sid, dialogue.identity), []).append(dialogue)

    def ended(self, dialogue: Dialogue) -> None:
        """See `client.Desk`: what its client missed it hears when it is back, if that is soon."""
        _take(self._dialogues, dialogue.sid, dialogue)
        _take(self._held, (dialogue.account_sid, dialogue.identity), dialogue)
        now = asyncio.get_running_loop().time()
        while self._ended:
            oldest = next(iter(self._ended.values())).unsaid
            if len(self._ended) < _MOST_ENDED and oldest is not None and oldest.until > now:
                break
            self._ended.popitem(last=False)
        if dialogue.unsaid is not None:
            self._ended[dialogue.sid] = dialogue

    def leave(self, client: Client) -> None:
        """See `client.Desk`."""
        self.unregister(client)
        self.roster.left(client)
        self._bearers.remove(client)
        _take(self._clients, (client.account_sid, client.identity), client)

    # Its end

    def drain(self) -> None:
        """Take no calls of clients any more; those that stand go on."""
        self._is_draining = True

    async def close(self) -> None:
        """Let everybody go; they come back to another process."""
        self.drain()
        self._bearers.close()
        for clients in list(self._clients.values()):
            for client in list(clients):
                client.close(Fault(code=Code.TRANSPORT, message=_DRAINS))
        for task in list(self._tasks):
            task.cancel()

    # Inside

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._safely(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _safely(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:
            _log.exception("a client could not be served")


def _take(table: dict[K, list[T]], key: K, value: T) -> None:
    """Take one value out; a list that is empty goes."""
    kept = table.get(key, [])
    if value in kept:
        kept.remove(value)
    if not kept:
        table.pop(key, None)

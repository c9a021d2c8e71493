"""The user agent of a process: all of its calls, over one transaction layer, without I/O.

Messages and time come in by `receive`, `transport_failed` and `handle_timer`, what happened goes
out by `next_event`, what is to be written by `outgoing`. Whatever means something to a person is
answered by command only, given when the answer is true; `agent_events` says which. A command for
a session that has ended, perhaps before its end was read of, does nothing.

Where requests go: a session begins with one destination, which `invite` names and which for a
peer's call is the flow that its INVITE came by. Where the next hop of its dialog is another
address, they go there (`next_hop`), but for peers behind NAT, which name what nobody can reach.
For a name `NextHopNeeded` asks, and requests go on where they went until `redirect`.
"""

from collections.abc import Callable

from protocols.sip import (
    session_asking,
    session_called,
    session_calling,
    session_changes,
    session_offered,
    session_saved,
    session_transfer,
)
from protocols.sip.agent_admission import abilities, accept_header
from protocols.sip.agent_commands import (
    Accept,
    Ask,
    By,
    HangUp,
    Invite,
    Provisional,
    Refer,
    Reliability,
    Reply,
    Settings,
)
from protocols.sip.agent_dispatch import pump, settle, wake
from protocols.sip.agent_events import Event, RequestId, SessionId, TransferId
from protocols.sip.digest import Sessions
from protocols.sip.errors import LocalProtocolError
from protocols.sip.events import ServerId, TransactionId
from protocols.sip.headers import Replaces
from protocols.sip.layer import Outgoing, TransactionLayer
from protocols.sip.ledger import Limits
from protocols.sip.message import NO_HEADERS, Headers, Message, NameAddr
from protocols.sip.session import Session, State
from protocols.sip.session_host import Host
from protocols.sip.session_offers import Body
from protocols.sip.session_saved import Saved
from protocols.sip.transport import Destination, Flow

_HANG_UP = HangUp()
_NOT_ACCEPTABLE = Reply(status=488)


class Agent:
    """See the module.

    `branch`, `tag`, `sent_by` and `encode` are the layer's; `call_id` makes Call-IDs, never the
    same twice, `chance` gives numbers from 0 up to and without 1, and `contact` says how we are
    reached by who is at a destination.
    """

    def __init__(
        self,
        *,
        branch: Callable[[], str],
        tag: Callable[[], str],
        call_id: Callable[[], str],
        chance: Callable[[], float],
        sent_by: Callable[[Destination], tuple[str, int]],
        contact: Callable[[Destination], NameAddr],
        encode: Callable[[Message], bytes],
        settings: Settings = Settings(),  # noqa: B008  # immutable
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self.layer = TransactionLayer(
            branch=branch,
            tag=tag,
            sent_by=sent_by,
            encode=encode,
            timers=settings.timers,
            limits=limits,
        )
        self._host = Host(
            layer=self.layer,
            settings=settings,
            tag=tag,
            call_id=call_id,
            chance=chance,
            contact=contact,
            abilities=abilities(settings, Reliability.IF_SUPPORTED),
            abilities_inside=abilities(settings, Reliability.NEVER),
        )

    # What is alive

    @property
    def sessions(self) -> int:
        """How many sessions have not ended."""
        return len(self._host.sessions)

    @property
    def strays(self) -> int:
        """How many responses came to nothing of ours."""
        return self._host.strays

    def ledger(self) -> dict[str, int]:
        """How much each table holds; empty when nothing is left of anything."""
        return self._host.ledger()

    def state(self, session: SessionId) -> State:
        """How far a session is."""
        found = self._host.sessions.get(session)
        return State.ENDED if found is None else found.state

    def abilities(self) -> Headers:
        """What a 200 to OPTIONS says: Allow, Supported and Accept (RFC 3261 §11.2)."""
        host = self._host
        return Headers((*host.abilities, accept_header(host.settings)))

    def saved(self, session: SessionId) -> Saved | None:
        """What to store of a session, from its beginning and again after `Retried` and answer."""
        found = self._host.sessions.get(session)
        return None if found is None else session_saved.save(found)

    def way(self, session: SessionId, fork: str = "") -> Destination | None:
        """Where the requests of a session's dialog go; None once it has ended."""
        found = self._host.sessions.get(session)
        if found is None:
            return None
        picked = found.pick(fork)
        return found.destination if picked is None else found.way(picked)

    def name(self, session: SessionId) -> Replaces | None:
        """An answered session as its peer names it: for the Refer-To of an attended transfer."""
        found = self._host.sessions.get(session)
        return None if found is None else session_transfer.name_of(found)

    # What happens, and what is to be done

    def receive(self, message: Message, flow: Flow, now: float) -> None:
        """Take a message that came by `flow`."""
        self.layer.receive(message, flow, now)
        pump(self._host, now)

    def transport_failed(self, where: Destination | TransactionId, reason: str, now: float) -> None:
        """Say that a flow is gone, or that what was written to a destination can't get there."""
        self.layer.transport_failed(where, reason, now)
        pump(self._host, now)

    def next_event(self) -> Event | None:
        """The oldest event not yet read."""
        events = self._host.events
        return events.popleft() if events else None

    def outgoing(self) -> list[Outgoing]:
        """All that is to be written now, in this order, once."""
        return self.layer.outgoing()

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called, at the latest; None for never."""
        first, second = self.layer.timer(), self._host.schedule.first()
        if first is None or second is None:
            return second if first is None else first
        return min(first, second)

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`; harmless when nothing is."""
        host = self._host
        self.layer.handle_timer(now)
        pump(host, now)
        for number in host.schedule.due(now):
            session = host.sessions.get(SessionId(number))
            if session is not None:
                wake(session, now)
        pump(host, now)

    # A session of ours

    def invite(
        self,
        command: Invite,
        destination: Destination,
        now: float,
        credentials: Sessions | None = None,
    ) -> SessionId:
        """Call somebody; `credentials` answer the challenges of all requests of the session.

        Nothing is written before `outgoing` is asked: time to store what `saved` says.
        """
        session = session_calling.begin(self._host, command, destination, credentials, now)
        self._done(session, now)
        return session.id

    def acknowledge(self, session: SessionId, now: float) -> None:
        """Send the ACK of an `Answered` whose INVITE left it to us; elsewhere nothing happens."""
        found = self._host.sessions.get(session)
        if found is not None:
            session_calling.acknowledge(found)
            self._done(found, now)

    # A session of a peer's

    def provisional(self, session: SessionId, command: Provisional, now: float) -> None:
        """Say how it goes, before the answer."""
        found = self._host.sessions.get(session)
        if found is not None:
            contacts = (command.contact,) if command.contact else ()
            self._host.check(
                command.headers, reason=command.reason, contacts=contacts, body=command.body
            )
            session_called.provisional(found, command, now)
            self._done(found, now)

    def accept(
        self,
        session: SessionId,
        command: Accept,
        now: float,
        credentials: Sessions | None = None,
    ) -> None:
        """Answer; the 2xx goes out when what was said reliably has arrived."""
        found = self._host.sessions.get(session)
        if found is not None:
            contacts = (command.contact,) if command.contact else ()
            self._host.check(
                command.headers, reason=command.reason, contacts=contacts, body=command.body
            )
            session_called.accept(found, command)
            found.auth = credentials
            self._done(found, now)

    def refuse(self, session: SessionId, command: Reply, now: float) -> None:
        """Refuse, or send the caller elsewhere."""
        found = self._host.sessions.get(session)
        if found is not None:
            session_called.refuse(found, command, now)
            self._done(found, now)

    def turn_away(self, session: SessionId, command: Reply, now: float) -> None:
        """Refuse and keep nothing of it, not even for the ACK (RFC 3261 §8.2.7).

        For challenges, and for what a flood is told: if the answer is lost the INVITE comes again.
        Only in the turn in which it came: a caller who has heard 100 waits for us.
        """
        found = self._host.sessions.get(session)
        if found is not None:
            session_called.turn_away(found, command, now)
            self._done(found, now)

    # Any session

    def hang_up(self, session: SessionId, now: float, command: HangUp = _HANG_UP) -> None:
        """End a session, however far it is: CANCEL, a refusal or BYE; `Ended` follows."""
        found = self._host.sessions.get(session)
        if found is None:
            return
        self._host.check(command.headers, reason=command.reason)
        match found.state:
            case State.CALLING:
                session_calling.cancel(found, command.headers, now)
            case State.CALLED:
                refusal = Reply(
                    status=command.status, reason=command.reason, headers=command.headers
                )
                session_called.refuse(found, refusal, now)
            case State.ANSWERED:
                session_calling.give_up(found, command.headers, now)
            case State.ACCEPTED:
                found.hanging = command.headers  # RFC 3261 §15: not before the ACK
            case State.UP:
                found.close(command.headers, now)
        self._done(found, now)

    def offer(
        self,
        session: SessionId,
        body: Body | None,
        now: float,
        *,
        fork: str = "",
        by: By = By.AUTO,
    ) -> None:
        """Offer a change, None for the peer to make the offer, as soon as it may go out."""
        found = self._host.sessions.get(session)
        if found is not None:
            self._host.check(body=body)
            session_changes.offer(found, found.pick(fork), body, by)
            self._done(found, now)

    def answer(self, session: SessionId, body: Body | None, now: float, *, fork: str = "") -> None:
        """Answer the peer's offer, or make one where it wants one.

        It goes by what follows from where the offer was: ACK, PRACK or a 2xx. None answers with
        the description that is in force.
        """
        found = self._host.sessions.get(session)
        if found is not None:
            self._host.check(body=body)
            session_offered.answer(found, found.pick(fork), body, now)
            self._done(found, now)

    def refuse_offer(
        self, session: SessionId, now: float, command: Reply = _NOT_ACCEPTABLE, *, fork: str = ""
    ) -> None:
        """Refuse the peer's offer; the session stays as it was."""
        found = self._host.sessions.get(session)
        if found is not None:
            self._host.check(command.headers, reason=command.reason, body=command.body)
            session_offered.refuse_offer(found, found.pick(fork), command, now)
            self._done(found, now)

    def describe(self, session: SessionId, body: Body) -> None:
        """Say what refreshes by re-INVITE repeat, if that is not what was said last."""
        found = self._host.sessions.get(session)
        self._host.check(body=body)
        if found is not None and found.fork is not None:
            found.fork.offers.local = body

    def redirect(self, session: SessionId, destination: Destination) -> None:
        """Send the session's requests to another place from now on."""
        found = self._host.sessions.get(session)
        if found is not None:
            found.destination = destination
            for fork in found.forks.values():
                fork.destination = None

    # Transfers

    def refer(self, session: SessionId, command: Refer, now: float) -> TransferId:
        """Ask the peer to call somebody; `TransferProgressed` says what became of it."""
        found = self._host.sessions.get(session)
        if found is None:
            raise LocalProtocolError("the session has ended")
        parties = (command.refer_to, *([command.referred_by] if command.referred_by else []))
        self._host.check(command.headers, contacts=parties)
        id = session_transfer.refer(found, command, now)
        self._done(found, now)
        return id

    def answer_refer(self, transfer: TransferId, command: Reply, now: float) -> None:
        """Answer `Referred`: 202 and the first NOTIFY go out, or a refusal."""
        self._host.check(command.headers, reason=command.reason)
        session_transfer.answer(self._host, transfer, command, now)
        pump(self._host, now)

    def notify(self, transfer: TransferId, command: Reply, now: float) -> None:
        """Tell the peer how the call goes that it asked for; a final status is the last."""
        self._host.check(reason=command.reason)
        session_transfer.notify(self._host, transfer, command, now)
        pump(self._host, now)

    # Requests that change nothing

    def info(
        self, session: SessionId, body: Body, now: float, headers: Headers = NO_HEADERS
    ) -> RequestId:
        """INFO in a session; `Responded` follows, or the session's end."""
        return self._ask_inside(session, "INFO", headers, body, now)

    def message(
        self, session: SessionId, body: Body, now: float, headers: Headers = NO_HEADERS
    ) -> RequestId:
        """MESSAGE in a session; `Responded` follows, or the session's end."""
        return self._ask_inside(session, "MESSAGE", headers, body, now)

    def _ask_inside(
        self, session: SessionId, method: str, headers: Headers, body: Body, now: float
    ) -> RequestId:
        found = self._host.sessions.get(session)
        id = session_asking.ask_inside(self._host, found, method, headers, body, now)
        if found is not None:
            self._done(found, now)
        return id

    def request(
        self,
        command: Ask,
        destination: Destination,
        now: float,
        credentials: Sessions | None = None,
    ) -> RequestId:
        """Ask outside of sessions; `Responded` follows."""
        id = session_asking.ask_outside(self._host, command, destination, credentials, now)
        pump(self._host, now)
        return id

    def respond(self, key: ServerId, command: Reply, now: float) -> None:
        """Answer OPTIONS, REGISTER, MESSAGE or INFO."""
        session_asking.respond(self._host, key, command, now)

    def dismiss(self, key: ServerId, command: Reply) -> None:
        """As `respond`, finally, and keep nothing of it: if it is lost the request comes again."""
        session_asking.dismiss(self._host, key, command)

    # After a restart

    def restore_unanswered(
        self,
        saved: Saved,
        destination: Destination,
        now: float,
        credentials: Sessions | None = None,
        headers: Headers = NO_HEADERS,
    ) -> SessionId:
        """Cancel an INVITE of the last run; a 2xx that comes all the same gets ACK and BYE."""
        self._host.check(headers)
        session = session_saved.restore_unanswered(
            self._host, saved, destination, credentials, headers, now
        )
        return session.id

    def restore_called(self, saved: Saved, flow: Flow, now: float, command: Reply) -> None:
        """Refuse a peer's INVITE of the last run, that came by what is now `flow`."""
        self._host.check(command.headers, reason=command.reason)
        session_saved.restore_called(self._host, saved, flow, command, now)

    def restore_answered(
        self,
        saved: Saved,
        destination: Destination,
        now: float,
        credentials: Sessions | None = None,
        headers: Headers = NO_HEADERS,
    ) -> SessionId:
        """Hang up a call of the last run: BYE with a CSeq that is certainly new.

        By a `Flow` a caller is told as well who may not have our answer yet.
        """
        self._host.check(headers)
        session = session_saved.restore_answered(
            self._host, saved, destination, credentials, headers, now
        )
        self._done(session, now)
        return session.id

    def _done(self, session: Session, now: float) -> None:
        settle(session, now)
        if self._host.overflow:
            pump(self._host, now)

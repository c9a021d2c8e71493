"""Two sessions back to back, with the clock in the hand."""

from protocols.smpp.codec import Decoder, Frame
from protocols.smpp.events import BindRequested, Bound, Event
from protocols.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter
from protocols.smpp.session import Role, Session, SessionConfig

BINDS: tuple[type[Bind], ...] = (BindReceiver, BindTransmitter, BindTransceiver)


def events_of(session: Session) -> list[Event]:
    events = []
    while (event := session.next_event()) is not None:
        events.append(event)
    return events


def frames_of(octets: bytes) -> list[Frame]:
    """What was written, which must be good PDUs."""
    decoder = Decoder()
    decoder.feed(octets)
    frames = []
    while (frame := decoder.next_frame()) is not None:
        assert isinstance(frame, Frame)
        frames.append(frame)
    return frames


class Pair:
    """An ESME and an SMSC; `exchange` carries what both have to say, until both are silent."""

    def __init__(
        self, esme: SessionConfig | None = None, smsc: SessionConfig | None = None
    ) -> None:
        self.now = 1000.0
        self.esme = Session(Role.ESME, esme or SessionConfig(), self.now)
        self.smsc = Session(Role.SMSC, smsc or SessionConfig(), self.now)

    def exchange(self) -> tuple[list[Event], list[Event]]:
        """The events of the ESME and of the SMSC."""
        while True:
            to_smsc, to_esme = self.esme.data_to_send(), self.smsc.data_to_send()
            if not to_smsc and not to_esme:
                return events_of(self.esme), events_of(self.smsc)
            if to_smsc:
                self.smsc.receive_data(to_smsc, self.now)
            if to_esme:
                self.esme.receive_data(to_esme, self.now)

    def bind(self, declared: type[Bind] = BindTransceiver) -> "Pair":
        self.esme.bind(declared(system_id="me", password="pw"), self.now)
        _, (requested,) = self.exchange()
        assert isinstance(requested, BindRequested)
        self.smsc.accept_bind(requested.sequence_number, "smsc", self.now)
        (bound,), _ = self.exchange()
        assert isinstance(bound, Bound)
        return self

"""What phones of these tests do beside calling: transfers, and changes in mid-call."""

import asyncio
from typing import Any, Final

import msgspec

from protocols.sdp import codec as sdp
from protocols.sdp.description import Direction
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import By, Invite, Provisional, Refer, Reliability
from protocols.sip.agent_events import SessionId, TransferId
from protocols.sip.headers import Replaces, write_replaces
from protocols.sip.message import NameAddr
from protocols.sip.session_offers import Body
from protocols.sip.transport import Hop
from protocols.sip.uri import SipUri, Uri
from tests.integration.voice.phones import PATIENCE, Phone

QUIET: Final = 0.3
"""Seconds without a packet that are silence: fifteen frames."""


def dial(*nouns: str, **attributes: str) -> str:
    """A document that dials."""
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<Response><Dial{given}>{''.join(nouns)}</Dial></Response>"


def user(name: str, domain: str = "office.example") -> str:
    """The noun of a user."""
    return f"<Sip>sip:{name}@{domain}</Sip>"


def refer(
    phone: Phone,
    to: Uri,
    *,
    session: SessionId | None = None,
    replacing: Replaces | None = None,
) -> TransferId:
    """Ask for a transfer of `session`, or of the last call."""
    if replacing is not None:
        assert isinstance(to, SipUri)
        _, text = write_replaces(replacing)
        to = SipUri(user=to.user, host=to.host, port=to.port, headers=(("Replaces", text),))
    agent, now = phone.station.agent, phone.station.now()
    command = Refer(refer_to=NameAddr(uri=to), referred_by=phone.aor)
    transfer = agent.refer(session or phone.session, command, now)
    phone.station.wake()
    return transfer


def replace(phone: Phone, to: str, hop: Hop, replaced: Replaces) -> SessionId:
    """Call with Replaces."""
    phone._renew()
    offer = phone.negotiation.offer(phone.local)
    phone.session = phone.station.agent.invite(
        Invite(
            uri=SipUri(user=to, host=phone.domain),
            from_=phone.aor,
            to=NameAddr(uri=SipUri(user=to, host=phone.domain)),
            body=Body(octets=sdp.write(offer)),
            replaces=replaced,
        ),
        hop,
        phone.station.now(),
        phone.sessions(),
    )
    phone.station.wake()
    return phone.session


def name(phone: Phone, session: SessionId | None = None) -> Replaces:
    """A call of the phone's as whoever takes its place names it."""
    named = phone.station.agent.name(session or phone.session)
    assert named is not None
    return named


def told(phone: Phone, transfer: TransferId) -> list[int]:
    """What the phone has heard so far of a transfer that it asked for."""
    return [
        each.status
        for each in phone.told
        if isinstance(each, events.TransferProgressed) and each.transfer == transfer
    ]


async def hears(phone: Phone, transfer: TransferId, status: int) -> None:
    """Wait until the phone was told of `status`."""
    await phone.until(
        events.TransferProgressed,
        where=lambda each: each.transfer == transfer and each.status == status,
    )


async def outcome(phone: Phone, transfer: TransferId) -> int:
    """What a transfer came to."""
    over = await phone.until(
        events.TransferProgressed,
        where=lambda each: each.transfer == transfer and each.stage is events.Stage.OVER,
    )
    return int(over.status)


def offer(
    phone: Phone,
    *,
    direction: Direction = Direction.SENDRECV,
    address: str = "",
    by: By = By.AUTO,
    **media: Any,
) -> None:
    """Offer anew in the phone's call; `address` "0.0.0.0" is how the oldest phones hold."""
    local = msgspec.structs.replace(phone.local, direction=direction, **media)
    octets = sdp.write(phone.negotiation.offer(local))
    if address:
        octets = octets.replace(b"c=IN IP4 127.0.0.1", f"c=IN IP4 {address}".encode())
    agent, now = phone.station.agent, phone.station.now()
    agent.offer(phone.session, Body(octets=octets), now, by=by)
    phone.station.wake()


async def change(phone: Phone, **how: Any) -> events.OfferAnswered | events.OfferRefused:
    """Offer anew, and take the answer."""
    before = len(phone.told)
    offer(phone, **how)
    found = await phone.until(events.OfferAnswered | events.OfferRefused, since=before)
    if isinstance(found, events.OfferAnswered):
        accepted: Any = phone.negotiation.accept(sdp.read(found.body.octets))
        phone._begin(accepted.plan.audio)
    else:
        phone.negotiation.withdraw()
    return found


async def quiet(phone: Phone) -> None:
    """Wait until nothing more comes to a phone: what was under way has come."""
    async with asyncio.timeout(PATIENCE):
        while True:
            before = len(phone.sound.heard)
            await asyncio.sleep(QUIET)
            if len(phone.sound.heard) == before:
                return


def ring_early(phone: Phone, event: events.Invited) -> None:
    """183 with what there is to hear, reliably if the caller knows that: for `on_call`."""
    phone.session = event.session
    phone._renew()
    assert event.offer is not None
    phone.negotiation.receive_offer(sdp.read(event.offer.octets))
    answered: Any = phone.negotiation.answer(phone.local)
    phone._begin(answered.plan.audio)
    said = Provisional(
        status=183,
        body=Body(octets=sdp.write(answered.description)),
        reliable=Reliability.IF_SUPPORTED,
    )
    phone.station.agent.provisional(event.session, said, phone.station.now())

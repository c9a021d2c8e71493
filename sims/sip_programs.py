"""Simulated SIP carriers and phones as programs, from what the command line said of them."""

import argparse
import asyncio

import msgspec

from protocols.sip.registration_events import Registered
from protocols.sip.transport import PORTS, Hop, Transport
from protocols.sip.wire import Tls
from sims import control
from sims.carrier import Carrier, Gateway, Habits
from sims.carrier_registrar import Account
from sims.phone import Phone, Subscriber
from sims.phone_manners import Manners, named_manners, read_manners
from sims.phone_script import Manner, ScriptError, read_manner
from sims.process import Stop, announce, run
from sims.sip_exchange import CODECS, Stand


class CarrierTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a carrier's options."""

    stand: Stand
    manners: dict[str, Manner]
    habits: Habits

    def carrier(self) -> Carrier:
        """The carrier, in a running loop."""
        return Carrier(self.stand, Manners(self.manners), self.habits)


def read_carrier(options: argparse.Namespace) -> CarrierTerms:
    """What the options say; raises `ScriptError`."""
    extra = {} if options.manners is None else read_manners(options.manners)
    username, colon, password = options.account.partition(":")
    if options.account and not (username and colon):
        raise ScriptError(
            f"--account is USER:PASSWORD, such as acme:secret, not {options.account!r}"
        )
    gateway = None
    if options.gateway_sip:
        host, port = _address(options.gateway_sip, Transport.UDP)
        gateway = Gateway(
            host=host,
            port=port,
            username=options.gateway_user,
            password=options.gateway_password,
        )
    return CarrierTerms(
        stand=Stand(
            host=options.sip_host,
            port=options.sip_port,
            codecs=_codecs(options.codecs),
            dtmf=options.dtmf,
        ),
        manners=extra | named_manners(options.manner),
        habits=Habits(
            account=Account(
                username=username,
                password=password,
                realm=options.realm,
                expires=options.expires,
            ),
            challenges_calls=options.challenge_calls,
            gateway=gateway,
        ),
    )


def run_carrier(options: argparse.Namespace) -> int:
    """The command `carrier`."""
    terms = read_carrier(options)

    async def live(stop: Stop) -> None:
        carrier = terms.carrier()
        try:
            sip = await carrier.open()
            async with control.listening(
                control.application(None, carrier), options.control_port
            ) as port:
                announce({"sip": sip, "control": port}, options.ready_file)
                await stop.wait()
        finally:
            await carrier.close()

    run(live, options.parent_pid)
    return 0


def run_phone(options: argparse.Namespace) -> int:
    """The command `phone`."""
    host, port = _address(options.server, options.transport)
    try:
        manner = read_manner(options.manner)
    except ScriptError as error:
        raise ScriptError(
            f'--manner is JSON, such as {{"answer_after": 1, "script": []}}: {error}'
        ) from error
    is_tls = options.transport is Transport.TLS
    # A phone over TLS has no door of its own: it is reached over the connection that it made.
    stand = Stand(
        host=options.host,
        port=options.port,
        transports=(Transport.UDP,) if is_tls else (options.transport,),
        tls=Tls(trust=options.trust) if is_tls else None,
        codecs=_codecs(options.codecs),
        dtmf=options.dtmf,
        software="simulated phone",
        user=options.user,
    )
    subscriber = Subscriber(
        user=options.user,
        password=options.password,
        domain=options.domain,
        server=Hop(
            transport=options.transport,
            host=host,
            port=port,
            domain=options.domain if is_tls else "",
        ),
        expires=options.expires,
    )

    async def live(stop: Stop) -> None:
        phone = Phone(stand, subscriber, manner)
        try:
            sip = await phone.open()
            if not await _is_registered(phone, stop):
                return
            async with control.listening(
                control.application(None, phone), options.control_port
            ) as port:
                announce({"sip": sip, "control": port}, options.ready_file)
                await stop.wait()
        finally:
            await phone.close()

    run(live, options.parent_pid)
    return 0


async def _is_registered(phone: Phone, stop: Stop) -> bool:
    """Wait for the registrar's word; False if we are to end before. `OSError` if it refuses."""
    loop = asyncio.get_running_loop()
    said, ended = loop.create_task(phone.registered()), loop.create_task(stop.wait())
    await asyncio.wait((said, ended), return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not said.done():
        said.cancel()
        return False
    event = said.result()
    if not isinstance(event, Registered):
        reason = getattr(event, "reason", "") or "no answer"
        raise OSError(f"the phone is not registered: {reason}")
    return True


def _codecs(text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(",") if each.strip())
    unknown = [each for each in names if each not in CODECS]
    if unknown or not names:
        raise ScriptError(f"codecs are some of {', '.join(CODECS)}, not {text!r}")
    return names


def _address(text: str, transport: Transport) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, PORTS[transport]
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ScriptError(f"{text!r} is no HOST:PORT")
    return host.strip("[]"), int(port)

"""What the tests of SIP's sockets share: endpoints with a box for events, and certificates."""

import asyncio
import datetime
import ipaddress
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protocols.sip.endpoint import Endpoint, open_endpoint
from protocols.sip.transport import Hop, Transport
from protocols.sip.wire import Address, Certificate, Event, Listen, Received

E = TypeVar("E")

LONG = 60.0
"""Seconds that are enough on a machine that does other things as well."""


class Box:
    """Takes the events of one endpoint."""

    endpoint: Endpoint

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, batch: list[Event]) -> None:
        self.events += batch
        self._changed.set()

    def of(self, kind: type[E]) -> list[E]:
        """Those of this kind, so far."""
        return [each for each in self.events if isinstance(each, kind)]

    async def wait(self, kind: type[E], count: int = 1) -> list[E]:
        """Those of this kind, once there are so many."""
        async with asyncio.timeout(LONG):
            while len(self.of(kind)) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.of(kind)

    async def calm(self, count: int = 0) -> None:
        """Wait until so many connections are left."""
        async with asyncio.timeout(LONG):
            while self.endpoint.connections() != count:
                self._changed.clear()
                await asyncio.wait_for(asyncio.shield(asyncio.sleep(0.01)), LONG)

    def at(self, transport: Transport) -> Address:
        """The first address of this transport."""
        return next(bound for kind, bound in self.endpoint.addresses() if kind is transport)

    def hop(self, transport: Transport, **more: Any) -> Hop:
        """The way to this endpoint."""
        host, port = self.at(transport)
        return Hop(transport=transport, host=host, port=port, **more)


def opener(boxes: list[Box]) -> Callable[..., Awaitable[Box]]:
    async def start(*transports: Transport, host: str = "127.0.0.1", **options: Any) -> Box:
        box = Box()
        listens = [Listen(transport=each, host=host) for each in transports]
        box.endpoint = await open_endpoint(
            options.pop("listens", listens),
            options.pop("receiver", box),
            clock=time.monotonic,
            chance=lambda: 0.5,
            **options,
        )
        boxes.append(box)
        return box

    return start


def options(name: str = "a", body: bytes = b"") -> bytes:
    """An OPTIONS that is told from others by its Call-ID."""
    return (
        b"OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
        b"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n"
        b"Call-ID: " + name.encode() + b"\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )


def call_ids(received: list[Received]) -> list[str]:
    return [getattr(each.message, "call_id", "") for each in received]


# What Python 3.13 wants to see of an authority (RFC 5280 §4.2.1.3).
SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority and the certificates that it signed, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        made = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(SIGNS, critical=True)
        )
        self.trust = str(folder / "trust.pem")
        Path(self.trust).write_bytes(
            made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def sign(self, file: str, *names: str) -> Certificate:
        """A certificate that shows these names: hosts, addresses or `sip:` URIs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
        made = self._builder(subject, key).add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
        chain, private = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        chain.write_bytes(
            made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Certificate(chain=str(chain), key=str(private), names=names)

    def client(self, certificate: Certificate | None = None) -> ssl.SSLContext:
        """A client's context that trusts us and nobody else."""
        context = ssl.create_default_context(cafile=self.trust)
        if certificate is not None:
            context.load_cert_chain(certificate.chain, certificate.key)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(  # Python 3.13 asks for it (RFC 5280 §4.2.1.1)
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _general(name: str) -> x509.GeneralName:
    if name.startswith("sip:"):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

"""TLS contexts of SIP (RFC 5630, RFC 5922): made from files, new ones at every reload.

A handshake takes the contexts that are current when it begins; connections that stand keep theirs.
"""

import ssl
from collections.abc import Mapping
from typing import Final

from protocols.sip.errors import LocalProtocolError
from protocols.sip.wire import Certificate, Clients, Tls

_WANTED: Final = {
    Clients.UNASKED: ssl.CERT_NONE,
    Clients.OPTIONAL: ssl.CERT_OPTIONAL,
    Clients.REQUIRED: ssl.CERT_REQUIRED,
}


def server_context(tls: Tls) -> ssl.SSLContext:
    """What a listener shows and wants.

    Raises `LocalProtocolError` if there is no certificate or a file can't be used, and says which.
    """
    if not tls.certificates:
        raise LocalProtocolError("a TLS listener needs a certificate")
    contexts = [_server(each, tls) for each in tls.certificates]
    by_name: Mapping[str, ssl.SSLContext] = {
        name.lower(): context
        for each, context in zip(tls.certificates, contexts, strict=True)
        for name in each.names
    }

    def choose(wire: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        chosen = by_name.get((name or "").lower())
        if chosen is not None:
            wire.context = chosen

    contexts[0].sni_callback = choose
    return contexts[0]


def client_context(tls: Tls) -> ssl.SSLContext:
    """What we show and want where we connect; whose certificate it is, `identity` judges.

    Raises `LocalProtocolError` if a file can't be used, and says which.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 5922 §7.1 puts a SIP domain's URI before names of hosts, and takes no wildcards.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, tls, ssl.Purpose.SERVER_AUTH)
    if tls.certificates:
        _load(context, tls.certificates[0])
    return context


def _server(certificate: Certificate, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = _WANTED[tls.clients]
    _load(context, certificate)
    if tls.clients is not Clients.UNASKED:
        _trust(context, tls, ssl.Purpose.CLIENT_AUTH)
    return context


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    def no_password() -> str:
        # Without this OpenSSL asks the terminal, and the process stands.
        raise LocalProtocolError(f"{certificate.key} has a password: store it without one")

    try:
        context.load_cert_chain(certificate.chain, certificate.key, no_password)
    except OSError as error:
        files = f"{certificate.chain} and {certificate.key}"
        raise LocalProtocolError(f"certificate {files} can't be used: {error}") from error


def _trust(context: ssl.SSLContext, tls: Tls, purpose: ssl.Purpose) -> None:
    try:
        if tls.trust:
            context.load_verify_locations(tls.trust)
        else:
            context.load_default_certs(purpose)
    except OSError as error:
        raise LocalProtocolError(f"trust file {tls.trust} can't be used: {error}") from error

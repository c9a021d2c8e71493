"""What a person is told who wants TLS and has no certificate: the command that makes one.

Python's own TLS makes none, and a library that does is not worth a dependency for it.
"""

import shlex
from collections.abc import Iterable
from ipaddress import ip_address

_EVERYWHERE = frozenset({"0.0.0.0", "::"})


def remedy(hosts: Iterable[str], *, name: str) -> str:
    """What to do; the certificate is for `hosts`, names and addresses, its files are `name`'s."""
    shown = [each.strip("[]") for each in dict.fromkeys(hosts) if each]
    names = [_alternative(each) for each in shown if each not in _EVERYWHERE]
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365",
        "-subj", "/CN=trunkline",
        "-addext", f"subjectAltName={','.join(dict.fromkeys(['DNS:localhost', *names]))}",
        "-keyout", f"{name}.key", "-out", f"{name}.pem",
    ]  # fmt: skip
    return (
        f'give tls_cert = "{name}.pem" and tls_key = "{name}.key", the paths of two PEM files; to'
        f" begin with, a certificate that signs itself is made by: {shlex.join(command)}"
    )


def _alternative(host: str) -> str:
    try:
        return f"IP:{ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"

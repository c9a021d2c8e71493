"""The command that makes a certificate, as a person is told it."""

import shlex

from gateway import certificates


def test_the_command_names_all_that_phones_may_call_us() -> None:
    hosts = ("", "sip.example.com", "127.0.0.1", "0.0.0.0", "[2001:db8::1]", "pbx.example")
    told = certificates.remedy((*hosts, "pbx.example"), name="sip")
    assert 'tls_cert = "sip.pem" and tls_key = "sip.key"' in told
    command = shlex.split(told.partition("made by: ")[2])
    assert command[:3] == ["openssl", "req", "-x509"]
    assert command[command.index("-addext") + 1] == (
        "subjectAltName=DNS:localhost,DNS:sip.example.com,IP:127.0.0.1,IP:2001:db8::1,"
        "DNS:pbx.example"
    )
    assert command[-4:] == ["-keyout", "sip.key", "-out", "sip.pem"]

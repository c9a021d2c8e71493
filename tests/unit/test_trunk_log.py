"""What the log says of trunks."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from carriers.gateways import GatewayHealth, GatewayState
from carriers.trunk_events import (
    AddressesChanged,
    GatewayChanged,
    Registered,
    RegistrationFailed,
    RegistrationGivenUp,
    RegistrationLost,
    TrunkEvent,
    Unregistered,
)
from carriers.trunks import Gateway
from gateway.trunk_log import told

AT = 1_795_309_291.25
SERVER = "sip:192.0.2.9"
RESTING = GatewayHealth(
    gateway=Gateway(uri=SERVER), state=GatewayState.RESTING, until=AT, failures=1, reason="503"
)
UP = GatewayHealth(gateway=Gateway(uri=SERVER), state=GatewayState.UP)


@pytest.mark.parametrize(
    ("event", "level", "sentence", "fields"),
    [
        (
            Registered(trunk="acme", server=SERVER, expires_at=AT, refreshed=False),
            *("info", "a trunk is registered"),
            {"server": SERVER, "expires_at": "2026-11-22T01:01:31+00:00"},
        ),
        (
            Registered(trunk="acme", server=SERVER, expires_at=AT, refreshed=True),
            *("debug", "a trunk is registered"),
            {"server": SERVER, "expires_at": "2026-11-22T01:01:31+00:00"},
        ),
        (
            RegistrationFailed(
                trunk="acme", server=SERVER, status=403, reason="403 Forbidden", retry_at=AT
            ),
            *("warning", "a trunk could not be registered"),
            {
                "server": SERVER,
                "status": 403,
                "reason": "403 Forbidden",
                "retry_at": "2026-11-22T01:01:31+00:00",
            },
        ),
        (
            RegistrationFailed(
                trunk="acme", server=SERVER, status=0, reason="no answer", retry_at=None
            ),
            *("warning", "a trunk could not be registered"),
            {"server": SERVER, "reason": "no answer"},
        ),
        (
            RegistrationLost(trunk="acme", reason="no answer"),
            *("warning", "a trunk's registration ran out"),
            {"reason": "no answer"},
        ),
        (
            RegistrationGivenUp(trunk="acme", reason="403 Forbidden"),
            *("error", "a trunk's registration was given up"),
            {"reason": "403 Forbidden"},
        ),
        (
            Unregistered(trunk="acme", reason=""),
            *("info", "a trunk's registration was taken back"),
            {},
        ),
        (
            GatewayChanged(trunk="acme", health=RESTING),
            *("warning", "a trunk's gateway changed"),
            {
                "gateway": SERVER,
                "state": "resting",
                "reason": "503",
                "until": "2026-11-22T01:01:31+00:00",
            },
        ),
        (
            GatewayChanged(trunk="acme", health=UP),
            *("info", "a trunk's gateway changed"),
            {"gateway": SERVER, "state": "up"},
        ),
        (
            AddressesChanged(trunk="acme", addresses=("192.0.2.9", "192.0.2.10")),
            *("info", "a trunk's gateways have other addresses"),
            {"addresses": "192.0.2.9, 192.0.2.10"},
        ),
    ],
)
def test_what_happens_to_a_trunk_is_a_sentence(
    event: TrunkEvent, level: str, sentence: str, fields: dict[str, Any]
) -> None:
    with capture_logs() as logs:
        told(event)
    assert logs == [{"log_level": level, "event": sentence, "trunk": "acme", **fields}]

"""What the ground says of the way of a text and of a call."""

from pathlib import Path

from carriers.model import Carrier, CarrierKind
from carriers.routing import Medium, RouteRequest
from carriers.trunks import Trunk
from gateway.config import Config
from gateway.daemon.ground import Ground


def test_a_call_for_help_is_planned_by_the_trunks_of_the_file(tmp_path: Path) -> None:
    ground = Ground(Config(), tmp_path, {}, "one", lambda: 0.0)
    trunk = Trunk(uri="sip:a.example", emergency=("GB",))
    ground.carriers["acme"] = Carrier(name="acme", kind=CarrierKind.SIP, trunk=trunk)

    def planned(medium: Medium) -> list[str]:
        request = RouteRequest(medium=medium, account_sid="AC1", to="999", from_="+442071838750")
        return [one.carrier for one in ground.plan(request, {}, 0.0).candidates]

    assert planned(Medium.CALL) == ["acme"]
    assert planned(Medium.SMS) == []

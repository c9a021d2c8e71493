"""sipp as phone and as carrier: the flows of RFC 3665, RFC 5359 and their kin.

Each flow is first played by sipp against sipp: what fails against the gateway then is no fault of
the flow.
"""

import pytest

from tests.interop.conftest import StartSipp
from tests.interop.sip.digest import count_credentials, wrong_credentials
from tests.interop.sip.flow import Names, Side
from tests.interop.sip.flows import CALLS

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_a_flow_is_right_by_itself(name: str, transport: str, start_sipp: StartSipp) -> None:
    flow = CALLS[name]
    names = Names(also={"elsewhere": "sip:third@127.0.0.9:5090", "user": "anna", "password": "key"})
    common = {"names": names, "user": "anna", "password": "key", "transport": transport}
    callee = start_sipp(Side.CALLEE, flow.callee, **common)
    caller = start_sipp(Side.CALLER, flow.caller, to=(callee.host, callee.port), **common)
    caller.finish()
    came = callee.finish()
    assert wrong_credentials(came, "anna", "key") == []
    assert count_credentials(came) == name.startswith("challenged")

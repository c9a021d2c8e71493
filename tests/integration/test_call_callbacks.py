"""What a call's state made due is told by whichever process runs jobs."""

import time
from pathlib import Path

from gateway.calls.callbacks import for_event
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.core.records import insert
from gateway.sids import new_sid
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.callbacks import Patience
from tests.integration.conftest import StartApp
from tests.integration.gateway_process import wait_for
from tests.running import RunningGateway
from twiml.nouns import CallEvent


async def test_the_end_of_a_call_is_told_by_the_next_run(
    start_app: StartApp, tmp_path: Path
) -> None:
    app = start_app()
    gateway = RunningGateway(tmp_path)
    try:
        gateway.start()
        gateway.kill()
        now = time.time()
        call = Call(
            account_sid=gateway.account_sid,
            sid=new_sid("CA", now),
            direction=CallDirection.INBOUND,
            status=CallStatus.COMPLETED,
            from_address="+15550002000",
            to_address="+15550001000",
            status_callback=app.url("/status"),
            date_created=now - 90,
            date_updated=now,
            started=now - 61,
            ended=now,
        )
        jobs = for_event(
            call, CallEvent.COMPLETED, sequence=0, now=now, policy=Patience(retry_for=3600.0)
        )
        store = await SqliteStore.open(
            gateway.data / "trunkline.db", max_queued=100, clock=time.time
        )
        await store.commit([insert(job) for job in jobs])
        await store.close()
        gateway.start()
        (line,) = wait_for(app.lines, "the app is told")
    finally:
        gateway.kill()
    told = line["params"]
    assert (told["CallSid"], told["CallStatus"]) == (call.sid, "completed")
    assert (told["CallDuration"], told["Duration"]) == ("61", "2")
    assert line["headers"]["I-Twilio-Idempotency-Token"] == jobs[0].id

"""Our own resources: carriers, explanations, jobs, events, handsets, health and metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientTimeout, web
from prometheus_client.parser import text_string_to_metric_families
from rest_world import NUMBER, World, basic, rest_world

from gateway.api import sim
from gateway.api.services import ApiLimits
from gateway.core import listing
from gateway.core.records import Job, JobState, insert, transition
from gateway.events import FactType, message_fact
from gateway.messages import records, trace
from gateway.messages.draft import REST, Draft
from gateway.model import Account, Message
from gateway.sids import JOB, first_sid
from gateway.store.base import StoreUnavailable

TO = "+447700900123"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path, ApiLimits(max_event_streams=2)) as world:
        yield world


async def keep(world: World, account: Account) -> Message:
    """A stored message of `account` and the fact that it was queued."""
    draft = Draft(
        account_sid=account.sid,
        to_address=TO,
        from_address=NUMBER,
        body="hello",
        validity_period=60.0,
        origin=REST,
    )
    message = await world.messages.keep(draft)
    fact = message_fact(message, FactType.MESSAGE_QUEUED, world.services.clock(), carrier="acme")
    await world.services.store.commit([fact])
    return message


async def test_carriers_are_shown_and_steered(world: World) -> None:
    status, body, _ = await world.ask("GET", "/v1/carriers", world.main)
    assert status == 200
    assert body == {
        "carriers": [
            {
                "name": "acme",
                "kind": "smpp",
                "state": "bound",
                "reason": "",
                "binds_up": 1,
                "binds_wanted": 1,
                "transmitters_up": 1,
                "failures": 0,
                "failed_binds": 0,
                "next_bind_in": None,
                "since": "2026-11-20T10:00:00.000Z",
                "throttled_until": None,
                "trunk": None,
            }
        ]
    }
    for command, state in (("pause", "paused"), ("drain", "draining"), ("resume", "bound")):
        status, body, _ = await world.ask("POST", f"/v1/carriers/acme/{command}", world.main)
        assert (status, body["state"]) == (200, state)
        _, body, _ = await world.ask("GET", "/v1/carriers/acme", world.stranger)
        assert body["state"] == state


async def test_a_subaccount_steers_no_carrier(world: World) -> None:
    sub = await world.services.accounts.add_subaccount(
        world.main.sid, "sub", world.services.clock()
    )
    status, body, _ = await world.ask("POST", "/v1/carriers/acme/pause", sub)
    assert (status, body["code"]) == (403, 20006)
    assert world.carriers.health("acme", 0.0).usable


async def test_a_route_is_explained(world: World) -> None:
    status, body, _ = await world.ask("GET", f"/v1/route?to=%2B{TO[1:]}&from=Acme", world.main)
    assert (status, body["to"], body["candidates"]) == (200, TO, ["acme"])
    assert body["considered"][0]["reason"] == "ready"
    for query, code in (("", 21211), ("to=1", 21211), ("to=%2B447700900123&from=%2B1", 21212)):
        status, body, _ = await world.ask("GET", f"/v1/route?{query}", world.main)
        assert (status, body["code"]) == (400, code)


async def test_the_way_of_a_call_is_explained(world: World) -> None:
    async def ask(query: str) -> tuple[int, dict[str, Any]]:
        status, body, _ = await world.ask("GET", f"/v1/route?{query}", world.main)
        return status, body

    status, body = await ask(f"to=%2B{TO[1:]}&medium=call")
    assert (status, body["medium"], body["candidates"], body["help"]) == (
        200,
        "call",
        ["acme"],
        False,
    )
    status, body = await ask("to=999&from=%2B442071838750&medium=call")
    assert (status, body["candidates"], body["help"]) == (200, ["acme"], True)
    assert body["rule"] == "emergency call to 999, by acme"
    for query in ("to=999", "to=999&medium=sms", "to=1&medium=call", "to=1234567&medium=call"):
        status, body = await ask(query)
        assert (status, body["code"]) == (400, 21211)
    status, body = await ask(f"to=%2B{TO[1:]}&medium=letter")
    assert (status, body["code"]) == (400, 20001)


async def test_a_text_is_explained(world: World) -> None:
    text = "x" * 159 + "€"
    for given in ({"json": {"text": text}}, {"data": {"text": text}}):
        status, body, _ = await world.ask("POST", "/v1/text", world.main, **given)
        assert (status, len(body["segments"]), body["units"]) == (200, 2, 161)
    for given in ({"json": {}}, {"json": {"text": ["x"]}}, {"json": [1]}, {"data": b"{"}):
        status, body, _ = await world.ask("POST", "/v1/text", world.main, **given)
        assert (status, body["code"]) == (400, 20001)
    for length, code in ((20_000, 200), (20_001, 400)):
        long = {"text": "x" * length}
        status, body, _ = await world.ask("POST", "/v1/text", world.main, data=long)
        assert status == code
    assert (body["code"], body["message"]) == (21617, "'text' may have 20000 characters, not 20001")


async def test_a_timeline(world: World) -> None:
    message = await keep(world, world.main)
    status, body, _ = await world.ask("GET", f"/v1/messages/{message.sid}/timeline", world.main)
    assert (status, body["sid"]) == (200, message.sid)
    assert [event["type"] for event in body["events"]] == ["message.queued"]


def job(number: int, owner: Account, endpoint: str = "https://app.example") -> Job:
    """One of an account's, made in the order of the numbers, an hour apart from 100 on."""
    made = 1_795_000_000.0 + number + (3600.0 if number >= 100 else 0.0)
    return Job(
        id=f"{first_sid(JOB, made)}{'0' * 16}",
        kind="status",
        account_sid=owner.sid,
        endpoint=endpoint,
        sequence="",
        sid="SM1",
        payload="{}",
        created_at=made,
        expire_at=made + 800.0,
    )


async def test_open_jobs_are_listed(world: World) -> None:
    jobs = [job(number, world.main) for number in (0, 1, 2, 100)]
    retried = JobState.AWAITING_RETRY
    await world.services.store.commit(
        [
            *map(insert, [*jobs, job(3, world.stranger)]),
            transition(jobs[1], 1, retried, 110.0, 120.0),
            transition(jobs[1], 2, retried, 120.0, 140.0, "HTTP 500"),
            transition(jobs[2], 1, retried, 110.0, 120.0),
            transition(jobs[2], 2, JobState.SUCCEEDED, 120.0),
        ]
    )
    status, body, _ = await world.ask("GET", "/v1/jobs", world.main)
    assert status == 200
    assert [(each["id"], each["state"], each["attempts"]) for each in body["jobs"]] == [
        (jobs[3].id, "available", 0),
        (jobs[1].id, "awaiting_retry", 2),
        (jobs[0].id, "available", 0),
    ]
    assert (body["jobs"][1]["note"], body["next"], body["queues"]) == ("HTTP 500", None, [])
    seen, before = [], ""
    while before is not None:
        query = f"limit=1{before and '&before=' + before}"
        _, page, _ = await world.ask("GET", f"/v1/jobs?{query}", world.main)
        seen += [each["id"] for each in page["jobs"]]
        before = page["next"]
    assert seen == [each["id"] for each in body["jobs"]]
    for query in ("limit=0", "before=soon", "state=lost"):
        status, body, _ = await world.ask("GET", f"/v1/jobs?{query}", world.main)
        assert (status, body["code"]) == (400, 20001), query


async def test_jobs_are_listed_by_their_state_and_endpoint(world: World) -> None:
    ended = [JobState.SUCCEEDED, JobState.DISCARDED, JobState.EXPIRED]
    jobs = [job(number, world.main, f"https://{number % 2}.example") for number in range(4)]
    await world.services.store.commit(
        [
            *map(insert, jobs),
            *(transition(each, 1, state, 120.0) for each, state in zip(jobs, ended, strict=False)),
            transition(jobs[2], 2, JobState.ARCHIVED, 130.0, note="AC1/day/object"),
        ]
    )

    async def listed(query: str) -> list[tuple[str, str, int]]:
        _, body, _ = await world.ask("GET", f"/v1/jobs?{query}", world.main)
        return [(each["id"], each["state"], each["attempts"]) for each in body["jobs"]]

    assert await listed("state=archived&state=succeeded") == [
        (jobs[2].id, "archived", 1),
        (jobs[0].id, "succeeded", 1),
    ]
    assert await listed("endpoint=https://1.example") == [(jobs[3].id, "available", 0)]
    assert await listed("state=discarded&endpoint=https://0.example") == []


async def test_a_page_looks_at_a_bounded_number_of_jobs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_WINDOW", 5)
    monkeypatch.setattr(listing, "_WINDOWS", 3)
    mine = job(0, world.main)
    await world.services.store.commit(
        [insert(mine), *(insert(job(number, world.stranger)) for number in range(1, 40))]
    )
    pages, before, seen = 0, "", []
    while before is not None:
        _, page, _ = await world.ask("GET", f"/v1/jobs?{before and 'before=' + before}", world.main)
        seen += [each["id"] for each in page["jobs"]]
        pages, before = pages + 1, page["next"]
    assert pages > 2 and seen == [mine.id]


class Stream:
    """A client of the event stream."""

    def __init__(self, response: Any) -> None:
        self._response = response

    async def next(self) -> dict[str, Any]:
        """The next event's fields, its data decoded; comments are passed over."""
        fields: dict[str, Any] = {}
        async with asyncio.timeout(30):
            while "data" not in fields:
                fields = {}
                while line := (await self._response.content.readline()).decode().rstrip("\n"):
                    name, _, value = line.partition(": ")
                    if name:
                        fields[name] = value
        fields["data"] = msgspec.json.decode(fields["data"])
        return fields


@asynccontextmanager
async def following(world: World, account: Account, after: str = "") -> AsyncIterator[Stream]:
    headers = {"Authorization": basic(account.sid, account.auth_token)}
    if after:
        headers["Last-Event-ID"] = after
    async with world.session.get(
        world.url + "/v1/events", headers=headers, timeout=ClientTimeout(total=None)
    ) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.content.readline() == b": stream\n"
        yield Stream(response)


async def test_events_come_as_they_happen_and_only_ones_own(world: World) -> None:
    await keep(world, world.main)
    async with following(world, world.main) as stream:
        await keep(world, world.stranger)
        mine = await keep(world, world.main)
        event = await stream.next()
        assert (event["event"], event["data"]["sid"]) == ("message.queued", mine.sid)
        assert event["data"]["account_sid"] == world.main.sid
        assert event["data"]["data"] == {"carrier": "acme"}
        assert event["data"]["id"] == int(event["id"])
        assert "hello" not in str(event)


async def test_a_client_that_comes_back_misses_nothing(world: World) -> None:
    first = await keep(world, world.main)
    await keep(world, world.stranger)
    second = await keep(world, world.main)
    async with following(world, world.main, after="0") as stream:
        seen = await stream.next()
        while seen["data"]["sid"] != first.sid:
            seen = await stream.next()
    async with following(world, world.main, after=seen["id"]) as stream:
        assert (await stream.next())["data"]["sid"] == second.sid


async def test_streams_are_bounded(world: World) -> None:
    async with following(world, world.main), following(world, world.main):
        status, body, _ = await world.ask("GET", "/v1/events", world.main)
        assert (status, body["code"]) == (429, 20429)
    async with asyncio.timeout(30):  # the places of clients that left are found to be free
        while status == 429:
            await asyncio.sleep(0.05)
            status, body, _ = await world.ask("GET", "/v1/events?after=soon", world.main)
    assert (status, body["code"]) == (400, 20001)


@asynccontextmanager
async def simulator(answers: dict[str, web.Response]) -> AsyncIterator[tuple[str, list[str]]]:
    """A simulator's control port: its URL, and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(
            f"{request.method} {request.raw_path} {(await request.read()).decode()}".strip()
        )
        given = answers[request.method]
        return web.Response(status=given.status, body=given.body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_handsets_are_the_simulators(world: World) -> None:
    path = "/sim/handsets/%2B447700900123/messages"
    text = {"from": NUMBER, "to": TO, "body": "hi", "received_at": "2026-11-20T10:00:00.000Z"}
    answers = {
        "GET": web.json_response([text]),
        "POST": web.json_response({"parts": 1}, status=201),
        "DELETE": web.Response(status=204),
    }
    async with simulator(answers) as (url, asked):
        world.simulators.append(url)
        status, body, _ = await world.ask("GET", path, world.main)
        assert (status, body) == (200, [text])
        status, body, _ = await world.ask(
            "POST", path, world.main, json={"to": NUMBER, "body": "é"}
        )
        assert (status, body) == (201, {"parts": 1})
        status, _, _ = await world.ask("DELETE", "/sim", world.main)
        assert status == 204
        assert [line.split(" ")[:2] for line in asked] == [
            ["GET", path],
            ["POST", path],
            ["DELETE", "/sim"],
        ]
        assert msgspec.json.decode(asked[1].split(" ", 2)[2]) == {"to": NUMBER, "body": "é"}
    status, body, _ = await world.ask("GET", path, world.main)
    assert (status, body["code"]) == (503, 20503)


async def test_phones_are_the_simulators(world: World) -> None:
    path = "/sim/phones/%2B447700900123"
    earlier, later = {"started_at": "2026-11-20T10:00:00Z"}, {"started_at": "2026-11-20T11:00:00Z"}
    none = web.Response(status=204)
    nowhere = {
        "GET": web.json_response([later]),
        "POST": web.json_response({}, status=503),
        "PUT": none,
    }
    there = {
        "GET": web.json_response([earlier]),
        "POST": web.json_response({"id": "1"}, status=201),
        "PUT": web.Response(status=204),
    }
    manner = {"answer_after": 1, "script": [{"tone": 440, "for": 2}]}
    call = {"to": NUMBER, "script": [{"press": "é"}]}
    async with simulator(nowhere) as (first, asked), simulator(there) as (second, also):
        world.simulators += [first, second]
        assert (await world.ask("PUT", path, world.main, json=manner))[0] == 204
        status, body, _ = await world.ask("POST", f"{path}/calls", world.main, json=call)
        assert (status, body) == (201, {"id": "1"})
        status, body, _ = await world.ask("GET", f"{path}/calls", world.main)
        assert (status, body) == (200, [earlier, later])
        for each in (asked, also):
            assert [line.split(" ")[:2] for line in each] == [
                ["PUT", path],
                ["POST", f"{path}/calls"],
                ["GET", f"{path}/calls"],
            ]
            assert msgspec.json.decode(each[0].split(" ", 2)[2]) == manner
            assert msgspec.json.decode(each[1].split(" ", 2)[2]) == call


async def test_what_a_simulator_makes_of_a_wrong_script_is_passed_on(world: World) -> None:
    path = f"/sim/phones/{TO}"
    wrong = {"PUT": web.json_response({"error": "step 1"}, status=400)}
    async with simulator(wrong) as (first, _), simulator(wrong) as (second, asked):
        world.simulators += [first, second]
        status, body, _ = await world.ask("PUT", path, world.main, json={"script": [{}]})
    assert (status, body) == (400, {"error": "step 1"})
    assert asked == []


async def test_a_handset_with_many_texts_is_shown_whole_and_heads_as_it_gets(world: World) -> None:
    path = f"/sim/handsets/{TO}/messages"
    texts = [{"body": "x" * 1000, "received_at": f"{n:06}"} for n in range(3000)]
    async with simulator({"GET": web.json_response(texts)}) as (url, _):
        world.simulators.append(url)
        status, body, _ = await world.ask("GET", path, world.main)
        assert (status, len(body)) == (200, 3000)
        status, _, headers = await world.ask("HEAD", path, world.main)
        assert status == 200
        assert int(headers["Content-Length"]) > 3_000_000


async def test_an_answer_of_a_simulator_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim, "_MAX_ANSWER", 1000)
    texts = [{"body": "x" * 1000, "received_at": ""}]
    async with simulator({"GET": web.json_response(texts)}) as (url, _):
        world.simulators.append(url)
        status, body, _ = await world.ask("GET", f"/sim/handsets/{TO}/messages", world.main)
    assert (status, body["code"]) == (503, 20503)
    assert "DELETE /sim" in body["message"]


async def test_with_two_simulators_a_text_goes_in_where_a_bind_is_up(world: World) -> None:
    path = f"/sim/handsets/{TO}/messages"
    older, newer = {"received_at": "2026-11-20T10:00:00Z"}, {"received_at": "2026-11-20T11:00:00Z"}
    down = {"GET": web.json_response([newer]), "POST": web.json_response({}, status=503)}
    up = {"GET": web.json_response([older]), "POST": web.json_response({"parts": 1}, status=201)}
    async with simulator(down) as (first, _), simulator(up) as (second, _):
        world.simulators += [first, second]
        _, body, _ = await world.ask("GET", path, world.main)
        assert body == [older, newer]
        status, body, _ = await world.ask(
            "POST", path, world.main, json={"to": NUMBER, "body": "x"}
        )
        assert (status, body) == (201, {"parts": 1})


async def test_health_and_readiness(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await world.ask("GET", "/healthz"))[:2] == (200, {"status": "ok", "reason": ""})
    assert (await world.ask("HEAD", "/healthz"))[0] == 200
    assert (await world.ask("GET", "/readyz"))[:2] == (200, {"status": "ready", "reason": ""})
    world.unready.append("draining")
    status, body, _ = await world.ask("GET", "/readyz")
    assert (status, body["reason"]) == (503, "draining")
    world.unready.clear()

    async def away(*_: Any) -> None:
        raise StoreUnavailable("the database is gone")

    monkeypatch.setattr(type(world.services.store), "fetch", away)
    status, body, _ = await world.ask("GET", "/readyz")
    assert status == 503
    assert "the database is gone" in body["reason"]


async def test_metrics_are_prometheus_text(world: World) -> None:
    message = await keep(world, world.main)
    waits = msgspec.structs.replace(message, carrier="acme", version=2)
    await world.services.store.commit([records.changed(waits)])
    await world.ask("GET", f"/2010-04-01/Accounts/{world.main.sid}.json", world.main)
    await world.ask("GET", "/nowhere")
    await world.services.bus.ack("sink", "1")
    await world.services.store.commit([trace.kept(message.sid, [trace.Frame(1.0, True, b"pdu")])])
    async with following(world, world.main):
        status, page, headers = await world.ask("GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }
    assert samples["trunkline_http_requests_total", "200", "FetchAccount"] == 1
    assert samples["trunkline_http_requests_total", "404", "unmatched"] == 1
    age = samples["trunkline_carrier_oldest_seconds", "acme"]
    assert 0 < age <= world.services.clock() - message.date_created + 0.01
    assert samples["trunkline_facts_kept",] == 4  # of three accounts and a message
    assert samples["trunkline_facts_behind", "sink"] == 3
    assert samples["trunkline_trace_rows",] == 1
    assert samples["trunkline_http_event_streams",] == 1


async def test_openapi_describes_what_is_served(world: World) -> None:
    status, document, _ = await world.ask("GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    create = document["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["post"]
    form = create["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert form["required"] == ["To"]
    variables = [
        param
        for path in document["paths"].values()
        for operation in path.values()
        for param in operation["parameters"]
        if param["in"] == "path"
    ]
    assert {"AccountSid", "Sid", "Number", "Name", "DomainSid"} <= {
        each["name"] for each in variables
    }
    assert all(each["description"] for each in variables)
    assert form["properties"]["MediaUrl"]["type"] == "array"
    schema = document["components"]["schemas"]["MessageBody"]
    message = await keep(world, world.main)
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages"
    _, body, _ = await world.ask("GET", f"{path}/{message.sid}.json", world.main)
    assert sorted(body) == sorted(schema["properties"]) == schema["required"]
    _, page, _ = await world.ask("GET", path, world.main)
    listed = document["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["get"]
    answer = listed["responses"]["200"]["content"]["application/json"]["schema"]
    assert sorted(page) == answer["required"]
    references = {
        word
        for word in msgspec.json.encode(document).decode().split('"')
        if word.startswith("#/components/schemas/")
    }
    assert {name.rsplit("/", 1)[1] for name in references} <= set(document["components"]["schemas"])


async def test_where_no_calls_are_carried_there_is_nothing_for_browsers(world: World) -> None:
    for path in ("/signal", "/sip"):
        status, body, _ = await world.ask("GET", path, world.main)
        assert (status, body["code"]) == (404, 20404)
        assert path in body["message"]

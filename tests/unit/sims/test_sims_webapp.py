"""A customer's app records what it is asked and answers from its script."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sims.ledger import Ledger
from sims.script import ScriptError
from sims.webapp import Reply, Rule, WebApp, listen, read_rules, replying

SIGNATURE = {"X-Twilio-Signature": "abc="}
FORM = {"Body": "1 < 2 & {To}", "To": "+15550001000", "Tag": "first"}


class Running:
    """A web app that listens, and a client beside it."""

    def __init__(self, client: aiohttp.ClientSession, base: str, ledger: Path) -> None:
        self.client = client
        self.base = base
        self.ledger = ledger

    async def script(self, *rules: object) -> None:
        async with self.client.put(f"{self.base}/script", json=rules) as answer:
            assert answer.status == 204

    async def post(self, path: str, **options: object) -> tuple[int, str]:
        options = {"data": FORM, "headers": SIGNATURE, "allow_redirects": False, **options}
        async with self.client.post(f"{self.base}{path}", **options) as answer:
            return answer.status, await answer.text()

    async def requests(self) -> list[dict[str, object]]:
        async with self.client.get(f"{self.base}/requests") as answer:
            return await answer.json()


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Running]:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    runner, port = await listen(WebApp(replying(None), ledger), "127.0.0.1", 0)
    async with aiohttp.ClientSession() as client:
        yield Running(client, f"http://127.0.0.1:{port}", path)
    await runner.cleanup()
    ledger.close()


async def test_without_a_script_every_request_gets_an_empty_document(app: Running) -> None:
    assert await app.post("/anything?a=1") == (200, "<Response/>")


async def test_a_request_is_recorded_as_it_came(app: Running) -> None:
    await app.post("/sms?x=%2B1")
    (came,) = await app.requests()
    assert came["url"] == f"{app.base}/sms?x=%2B1"
    assert (came["method"], came["path"], came["answered"]) == ("POST", "/sms", 200)
    assert came["params"] == FORM
    assert came["body"] == "Body=1+%3C+2+%26+%7BTo%7D&To=%2B15550001000&Tag=first"
    assert came["signature"] == "abc="
    assert came["headers"]["X-Twilio-Signature"] == "abc="


async def test_the_query_holds_the_parameters_of_a_get(app: Running) -> None:
    async with app.client.get(f"{app.base}/sms?Body=hello+there&Empty=") as answer:
        assert answer.status == 200
    (came,) = await app.requests()
    assert came["params"] == {"Body": "hello there", "Empty": ""}


async def test_the_first_of_several_values_is_the_parameter(app: Running) -> None:
    await app.post("/sms", data=[("a", "1"), ("a", "2")])
    (came,) = await app.requests()
    assert (came["params"], came["body"]) == ({"a": "1"}, "a=1&a=2")


async def test_the_ledger_has_a_line_for_each_request(app: Running) -> None:
    await app.post("/one")
    await app.post("/two")
    lines = [json.loads(line) for line in app.ledger.read_text().splitlines()]
    assert [line["path"] for line in lines] == ["/one", "/two"]
    assert lines == await app.requests()


async def test_requests_are_counted(app: Running) -> None:
    for _ in range(3):
        await app.post("/sms")
    async with app.client.get(f"{app.base}/requests/count") as answer:
        assert await answer.json() == {"count": 3}


async def test_a_message_is_filled_from_the_request_and_escaped_once(app: Running) -> None:
    await app.script({"path": "/sms", "replies": [{"message": "{Body} & {None}"}]})
    status, content = await app.post("/sms")
    text = "1 &lt; 2 &amp; {To} &amp; {None}"
    assert (status, content) == (200, f"<Response><Message>{text}</Message></Response>")


async def test_replies_are_taken_in_turn_and_the_last_one_holds_on(app: Running) -> None:
    await app.script({"path": "/sms", "replies": [{"status": 500}, {"status": 503}, {}]})
    assert [(await app.post("/sms"))[0] for _ in range(4)] == [500, 503, 200, 200]


async def test_paths_take_turns_of_their_own(app: Running) -> None:
    await app.script({"replies": [{"status": 500}, {}]})
    assert [(await app.post(path))[0] for path in ("/a", "/b", "/a")] == [500, 500, 200]


async def test_a_redirect_and_other_headers(app: Running) -> None:
    reply = {"status": 302, "redirect": "/there", "headers": {"Set-Cookie": "a=b"}}
    await app.script({"replies": [reply]})
    async with app.client.post(f"{app.base}/sms", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/there")
        assert answer.headers["Set-Cookie"] == "a=b"


async def test_a_body_can_be_anything_of_any_size(app: Running) -> None:
    reply = {"body": "<Resp", "content_type": "audio/wav", "pad": 5_000_000}
    await app.script({"replies": [reply]})
    async with app.client.post(f"{app.base}/sms") as answer:
        content = await answer.read()
        assert answer.headers["Content-Type"] == "audio/wav"
    assert (content[:6], len(content)) == (b"<Resp ", 5_000_005)


async def test_an_app_that_hangs_up_has_still_recorded(app: Running) -> None:
    await app.script({"replies": [{"drop": True}]})
    with pytest.raises(aiohttp.ClientError):
        await app.post("/sms")
    (came,) = await app.requests()
    assert came["answered"] == 0


async def test_a_slow_answer_is_recorded_before_it_leaves(app: Running) -> None:
    await app.script({"path": "/sms", "replies": [{"delay": 60}]})
    with pytest.raises(TimeoutError):
        await app.post("/sms", timeout=aiohttp.ClientTimeout(total=0.3))
    assert [came["path"] for came in await app.requests()] == ["/sms"]


async def test_forgetting_empties_the_list_and_starts_the_turns_anew(app: Running) -> None:
    await app.script({"replies": [{"status": 500}, {}]})
    await app.post("/sms")
    async with app.client.delete(f"{app.base}/requests") as answer:
        assert answer.status == 204
    assert await app.requests() == []
    assert (await app.post("/sms"))[0] == 500


@pytest.mark.parametrize("script", [b"{", b'[{"replies": [{"statu": 1}]}]'])
async def test_a_bad_script_is_refused_with_a_right_one(app: Running, script: bytes) -> None:
    async with app.client.put(f"{app.base}/script", data=script) as answer:
        assert answer.status == 400
        assert '"replies"' in (await answer.json())["error"]
    assert await app.post("/sms") == (200, "<Response/>")


def test_rules_come_from_a_file_or_from_one_text(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text('[{"path": "/sms", "replies": [{"message": "hello"}]}]')
    assert read_rules(path) == (Rule(path="/sms", replies=(Reply(message="hello"),)),)
    assert replying("hello") == (Rule(path="*", replies=(Reply(message="hello"),)),)
    path.write_text("[1]")
    with pytest.raises(ScriptError, match=r"rules\.json"):
        read_rules(path)

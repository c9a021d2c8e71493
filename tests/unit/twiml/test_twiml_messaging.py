from twiml.messaging import Reply, Run, interpret
from twiml.outcome import End, Goto
from twiml.parser import Document
from twiml.verbs import Message, MessagingVerb, Redirect

BASE = "https://me:pw@app.example.com/sms/reply?x=1"


def run(*verbs: MessagingVerb) -> Run:
    return interpret(Document(verbs=verbs), base=BASE, texter="+15550002000", number="+15550001000")


def test_an_empty_document_ends() -> None:
    assert run() == Run(replies=(), outcome=End())


def test_a_reply_goes_back_the_way_the_text_came() -> None:
    assert run(Message(body="hi")).replies == (
        Reply(to="+15550002000", from_="+15550001000", body="hi"),
    )


def test_a_reply_can_go_elsewhere_and_its_urls_are_absolute() -> None:
    message = Message(
        to="+15550003000",
        from_="ACME",
        body="hi",
        media=("a.png", "https://cdn.example/b.png"),
        action="/status",
        method="GET",
    )
    assert run(message).replies == (
        Reply(
            to="+15550003000",
            from_="ACME",
            body="hi",
            media=("https://me:pw@app.example.com/sms/a.png", "https://cdn.example/b.png"),
            status_callback="https://me:pw@app.example.com/status",
            method="GET",
        ),
    )


def test_the_status_callback_wins_over_the_action() -> None:
    (reply,) = run(Message(body="a", action="/one", status_callback="/two")).replies
    assert reply.status_callback.endswith("/two")


def test_nothing_after_a_redirect_is_reached() -> None:
    result = run(
        Message(body="a"),
        Redirect(url="../next", method="GET"),
        Message(body="b"),
        Redirect(url="/other"),
    )
    assert [reply.body for reply in result.replies] == ["a"]
    assert result.outcome == Goto(url="https://me:pw@app.example.com/next", method="GET")


def test_an_empty_redirect_is_the_same_document_again() -> None:
    assert run(Redirect()).outcome == Goto(url=BASE, method="POST")


def test_an_unreadable_url_is_left_to_whoever_asks_it() -> None:
    assert run(Redirect(url="http://[")).outcome == Goto(url="http://[", method="POST")

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.webhooks.cookies import (
    LIFETIME,
    MAX_COOKIES,
    Cookie,
    CookieBook,
    cookie_header,
    merged,
    parse_set_cookie,
)

NOW = 1_800_000_000.0


def cookie(header: str, host: str = "app.example.com", path: str = "/sms/reply") -> Cookie:
    parsed = parse_set_cookie(header, host, path, NOW)
    assert parsed is not None
    return parsed


def sent(
    held: Cookie, scheme: str = "https", host: str = "app.example.com", path: str = "/sms/x"
) -> bool:
    return cookie_header([held], scheme, host, path, NOW) != ""


def test_a_bare_cookie_is_for_its_host_and_folder_and_four_hours() -> None:
    held = cookie("step=2")
    assert (held.name, held.value, held.path) == ("step", "2", "/sms")
    assert held.expires_at == NOW + LIFETIME == NOW + 14400
    assert sent(held)
    assert not sent(held, host="www.app.example.com")
    assert not sent(held, path="/smsx")
    assert not sent(held, path="/")


def test_attributes_are_honoured() -> None:
    held = cookie("a=b; Domain=Example.com; Path=/; Secure; HttpOnly; Max-Age=60")
    assert held.expires_at == NOW + 60
    assert sent(held, host="other.example.com", path="/")
    assert sent(held, host="example.com", path="/")
    assert not sent(held, host="badexample.com", path="/")
    assert not sent(held, scheme="http", path="/")


def test_expires_is_read_and_max_age_wins() -> None:
    assert cookie("a=b; Expires=Fri, 15 Jan 2027 08:10:00 GMT").expires_at == NOW + 600
    both = cookie("a=b; Max-Age=5; Expires=Fri, 15 Jan 2027 08:10:00 GMT")
    assert both.expires_at == NOW + 5
    assert cookie("a=b; Max-Age=99999999999").expires_at == NOW + LIFETIME
    assert cookie("a=b; Expires=tomorrow").expires_at == NOW + LIFETIME
    assert cookie("a=b; Max-Age=--99999").expires_at == NOW + LIFETIME
    assert cookie("a=b; Max-Age=-99999").expires_at < NOW


@pytest.mark.parametrize(
    "header",
    [
        "",
        "=b",
        "a b=c",
        "a=b\r\nX: y",
        "a=b; Domain=other.com",
        "a=b; Domain=com",
        f"a={'x' * 5000}",
    ],
)
def test_what_makes_no_sense_or_reaches_too_far_is_ignored(header: str) -> None:
    assert parse_set_cookie(header, "app.example.com", "/", NOW) is None


def test_a_later_cookie_replaces_and_an_expired_one_deletes() -> None:
    held = merged((cookie("a=1"), cookie("b=1")), [cookie("a=2")], NOW)
    assert cookie_header(held, "https", "app.example.com", "/sms/x", NOW) == "b=1; a=2"
    held = merged(held, [cookie("b=; Max-Age=0")], NOW)
    assert cookie_header(held, "https", "app.example.com", "/sms/x", NOW) == "a=2"


def test_longer_paths_come_first() -> None:
    held = (cookie("a=1; Path=/"), cookie("a=2; Path=/sms"))
    assert cookie_header(held, "https", "app.example.com", "/sms", NOW) == "a=2; a=1"


def test_a_server_cannot_fill_the_memory() -> None:
    held = merged((), [cookie(f"n{number}=1") for number in range(MAX_COOKIES + 20)], NOW)
    assert len(held) == MAX_COOKIES
    assert held[0].name == "n20"


def test_the_book_keeps_conversations_apart_and_forgets_in_time() -> None:
    book = CookieBook()
    book.remember(("AC1", "+1", "+2"), (cookie("a=1"),))
    assert [held.value for held in book.recall(("AC1", "+1", "+2"), NOW)] == ["1"]
    assert book.recall(("AC1", "+1", "+3"), NOW) == ()
    assert book.recall(("AC1", "+1", "+2"), NOW + LIFETIME) == ()
    book.remember(("AC1", "+1", "+2"), ())
    assert len(book) == 0


def test_the_book_is_bounded_and_the_longest_unused_goes() -> None:
    book = CookieBook(capacity=2)
    for name in ("one", "two"):
        book.remember((name,), (cookie("a=1"),))
    book.remember(("one",), (cookie("a=2"),))
    book.remember(("three",), (cookie("a=1"),))
    assert len(book) == 2
    assert book.recall(("two",), NOW) == ()
    assert book.recall(("one",), NOW) != ()


@given(st.text(max_size=80))
def test_no_header_breaks_out_of_the_cookie_line(header: str) -> None:
    parsed = parse_set_cookie(header, "h.example", "/", NOW)
    line = cookie_header([parsed], "https", "h.example", "/", NOW) if parsed else ""
    assert line.isascii()
    assert not set(line) & {"\r", "\n", "\x00"}

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from gateway.webhooks.signature import sign

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
PARAMETERS = (
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
)


def test_the_published_vector() -> None:
    assert sign(URL, PARAMETERS, TOKEN) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_the_order_of_parameters_does_not_matter() -> None:
    assert sign(URL, PARAMETERS[::-1], TOKEN) == sign(URL, PARAMETERS, TOKEN)


def test_another_token_signs_otherwise() -> None:
    assert sign(URL, PARAMETERS, "54321") != sign(URL, PARAMETERS, TOKEN)


_words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(st.lists(st.tuples(_words.filter(bool), _words), max_size=8), _words.filter(bool))
def test_the_sdk_accepts_every_form(pairs: list[tuple[str, str]], token: str) -> None:
    signature = sign(URL, pairs, token)
    assert RequestValidator(token).validate(URL, MultiDict(pairs), signature)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_a_token_of_any_length_signs_as_the_sdk_does(length: int) -> None:
    token = "é" + "t" * (length - 1)
    assert sign(URL, PARAMETERS, token) == RequestValidator(token).compute_signature(
        URL, MultiDict(PARAMETERS)
    )

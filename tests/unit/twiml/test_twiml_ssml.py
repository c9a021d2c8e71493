"""What `<Say>` says: its text, and what marks it up, written anew."""

import pytest
from lxml import etree
from twilio.twiml import voice_response as sdk

from twiml.parser import MAX_BODY, Document, parse
from twiml.prompt_elements import MAX_POLLY_TEXT, MAX_TEXT
from twiml.ssml_elements import SSML
from twiml.verbs import Say
from twiml.voice_dialect import ALL_VOICE


def read(inner: str, attributes: str = "") -> tuple[Say, list[int]]:
    body = f"<Response><Say {attributes}>{inner}</Say></Response>"
    document = parse(body.encode(), "text/xml", ALL_VOICE)
    assert isinstance(document, Document), document
    (say,) = document.verbs
    assert isinstance(say, Say)
    return say, [finding.code for finding in document.warnings]


def marked(ssml: str) -> str:
    return f"<speak>{ssml}</speak>"


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ("  two\n  lines ", "two lines"),
        ("a &amp; b &lt;c&gt; &#8364;", "a & b <c> €"),
        ("<![CDATA[<break/>]]>", "<break/>"),
        ("a<!-- b -->c<?d e?>f", "acf"),
    ],
)
def test_plain_text_has_no_ssml(inner: str, text: str) -> None:
    assert read(inner) == (Say(text=text), [])


@pytest.mark.parametrize(
    ("inner", "text", "ssml"),
    [
        ("one<break/>two", "one two", "one<break/>two"),
        ("<break time='10s'/>a", "a", '<break time="10s"/>a'),
        ("<break time=' +500ms ' strength='x-weak'/>a", "a",
         '<break strength="x-weak" time="+500ms"/>a'),
        ("<emphasis>a</emphasis>", "a", "<emphasis>a</emphasis>"),
        ("<emphasis level='strong'>a</emphasis>b", "ab",
         '<emphasis level="strong">a</emphasis>b'),
        ("say <lang xml:lang='fr-FR'>bonjour</lang>!", "say bonjour!",
         'say <lang xml:lang="fr-FR">bonjour</lang>!'),
        ("<p>a</p><p>b</p>", "a b", "<p>a</p><p>b</p>"),
        ("<p><s>a</s><s>b</s></p>c", "a b c", "<p><s>a</s><s>b</s></p>c"),
        ("<prosody volume='+6dB' rate='90%' pitch='-10%'>a</prosody>", "a",
         '<prosody pitch="-10%" rate="90%" volume="+6dB">a</prosody>'),
        ("<say-as interpret-as='date'>1/2</say-as>", "1/2",
         '<say-as interpret-as="date">1/2</say-as>'),
        ("<sub alias='World Wide &quot;Web&quot;'>WWW</sub>", 'World Wide "Web"',
         '<sub alias="World Wide &quot;Web&quot;">WWW</sub>'),
        ("<prosody rate='fast'>a <lang xml:lang='de'><emphasis>b</emphasis></lang></prosody>",
         "a b",
         '<prosody rate="fast">a <lang xml:lang="de"><emphasis>b</emphasis></lang></prosody>'),
        ("a &lt;b&gt; &amp;<break/>", "a <b> &", "a &lt;b&gt; &amp;<break/>"),
    ],
)  # fmt: skip
def test_ssml_is_kept_beside_the_text(inner: str, text: str, ssml: str) -> None:
    assert read(inner) == (Say(text=text, ssml=marked(ssml)), [])


@pytest.mark.parametrize(
    ("inner", "text", "undone"),
    [
        ('<phoneme alphabet="ipa" ph="pi.kãn">pecan</phoneme>', "pecan", ["alphabet", "ph"]),
        ('<say-as format="mdy" interpret-as="date">1/2</say-as>', "1/2", ["format"]),
        ('<w role="amazon:VB">read</w> it', "read it", ["role"]),
    ],
)
def test_what_no_engine_does_is_kept_and_said(inner: str, text: str, undone: list[str]) -> None:
    body = f"<Response><Say>{inner}</Say></Response>"
    document = parse(body.encode(), "text/xml", ALL_VOICE)
    assert isinstance(document, Document)
    assert document.verbs == (Say(text=text, ssml=marked(inner)),)
    assert [each.code for each in document.warnings] == [12200] * len(undone)
    for each, name in zip(document.warnings, undone, strict=True):
        assert each.message.startswith(f"{name} of <")
        assert each.message.endswith(
            "has no effect here: the text in it is spoken as it is written"
        )


def test_every_element_of_twilios_has_a_row() -> None:
    names = "break emphasis lang p phoneme prosody s say-as sub w"
    assert SSML.keys() == set(names.split())


@pytest.mark.parametrize(
    ("inner", "text", "ssml"),
    [
        ("<lang>a</lang>", "a", ""),
        ("<lang xml:lang='!'>a</lang>", "a", ""),
        ("<prosody>a<break/></prosody>", "a", "a<break/>"),
        ("<prosody rate='at once'>a</prosody>", "a", ""),
        ("<say-as interpret-as='poem'>a</say-as>", "a", ""),
        ("<sub>a</sub>", "a", ""),
        ("<phoneme alphabet='ipa'>a</phoneme>", "a", ""),
        ("<w>a</w>", "a", ""),
        ("<break time='11s'/>a", "a", "<break/>a"),
        ("<break time='99999999ms'/>a", "a", "<break/>a"),
        ("<break time='-1s'/>a", "a", "<break/>a"),
        ("<break strength='iron'/>a", "a", "<break/>a"),
        ("<emphasis level='very'>a</emphasis>", "a", "<emphasis>a</emphasis>"),
        ("<break>b</break>a", "a", "<break/>a"),
        ("<emphasis onclick='x()'>a</emphasis>", "a", "<emphasis>a</emphasis>"),
        ("<p>a<p>b</p></p>", "a", "<p>a</p>"),
        ("<s>a<p>b</p></s>", "a", "<s>a</s>"),
        ("<w role='r'>a<w role='r'>b</w></w>", "a", '<w role="r">a</w>'),
        ("<say-as interpret-as='time'>a<break/></say-as>", "a",
         '<say-as interpret-as="time">a</say-as>'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_ssml_is_a_warning_and_its_text_is_spoken(
    inner: str, text: str, ssml: str
) -> None:
    say, codes = read(inner)
    assert set(codes) == {12200}
    assert say == Say(text=text, ssml=marked(ssml) if ssml else "")


@pytest.mark.parametrize(
    "inner",
    [
        "a<script>alert(1)</script>b",
        "a<audio src='file:///etc/passwd'/>b",
        "a<mark name='x'/>b",
        "a<speak>c</speak>b",
        "a<voice name='x'>c</voice>b",
        "a<x:break xmlns:x='urn:x'/>b",
        "a<Break/>b",
        "a<meta http-equiv='x'/>b",
        "a<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='file:///etc/passwd'/>b",
    ],
)
def test_nothing_else_gets_to_a_speech_engine(inner: str) -> None:
    say, codes = read(f"{inner}<break/>")
    assert codes == [12200]
    assert say == Say(text="ab", ssml=marked("ab<break/>"))


def test_values_can_not_break_out_of_their_attribute() -> None:
    say, codes = read("<sub alias='&quot;/&gt;&lt;audio src=&quot;x'>a</sub>")
    assert codes == []
    root = etree.fromstring(say.ssml)
    assert [each.tag for each in root.iter()] == ["speak", "sub"]
    assert root[0].get("alias") == '"/><audio src="x'


def test_a_pause_alone_is_something_to_say() -> None:
    assert read("<break time='2s'/>") == (Say(text="", ssml=marked('<break time="2s"/>')), [])


@pytest.mark.parametrize("inner", ["<p/>", "<prosody rate='slow'> </prosody>", "<sub/>"])
def test_markup_around_nothing_is_nothing(inner: str) -> None:
    document = parse(f"<Response><Say>{inner}</Say></Response>".encode(), "text/xml", ALL_VOICE)
    assert isinstance(document, Document)
    assert document.verbs == ()
    assert document.warnings[-1].code == 13520


def test_a_text_is_as_long_as_its_voice_allows() -> None:
    assert read("x" * MAX_TEXT) == (Say(text="x" * MAX_TEXT), [])
    assert read("x" * (MAX_TEXT + 1)) == (Say(text="x" * MAX_TEXT), [13521])
    say, codes = read("word " * 1000, "voice='Polly.Amy'")
    assert codes == [13521]
    assert MAX_POLLY_TEXT - 5 < len(say.text) <= MAX_POLLY_TEXT
    assert say.text.endswith("word")
    say, codes = read(f"<emphasis>{'x' * (MAX_TEXT + 1)}</emphasis>")
    assert codes == [13521]
    assert say == Say(text="x" * MAX_TEXT)


def test_markup_may_be_as_deep_as_xml_may_be() -> None:
    inside = "<prosody rate='fast'>" * 250 + "a" + "</prosody>" * 250
    say, codes = read(inside)
    assert codes == []
    assert say.text == "a"
    assert say.ssml.count('<prosody rate="fast">') == 250


def test_as_much_markup_as_fits_is_read() -> None:
    breaks = "<break/>" * ((MAX_BODY - 60) // 8)
    say, codes = read(f"a{breaks}")
    assert codes == []
    assert say.ssml == marked(f"a{breaks}")


def test_what_the_sdk_writes_is_read_without_a_warning() -> None:
    response = sdk.VoiceResponse()
    say = response.say("Hello")
    say.break_(strength="weak", time="100ms")
    say.emphasis("very", level="strong")
    say.lang("bonjour", xml_lang="fr-FR")
    say.p("paragraph")
    say.prosody("slow", pitch="-10%", rate="85%", volume="-6dB")
    say.s("sentence")
    say.say_as("1234", interpret_as="spell-out")
    say.sub("WWW", alias="web")
    document = parse(str(response).encode(), "text/xml", ALL_VOICE)
    assert isinstance(document, Document)
    assert document.warnings == ()
    (said,) = document.verbs
    assert isinstance(said, Say)
    tags = [each.tag for each in etree.fromstring(said.ssml)]
    assert tags == [
        "break", "emphasis", "lang", "p", "prosody", "s", "say-as", "sub",
    ]  # fmt: skip

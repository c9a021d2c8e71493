"""Codecs: when two are the same, events and their keys, lengths of packets."""

import pytest

from protocols.sdp.formats import (
    G722,
    OPUS,
    PCMU,
    STATIC,
    Codec,
    Params,
    events,
    is_same,
    keys_of,
    params_of_keys,
    ptime_within,
    read_params,
    write_params,
)


def named(text: str, fmtp: str = "") -> Codec:
    name, rate, *channels = text.split("/")
    return Codec(
        payload_type=96,
        name=name,
        clock_rate=int(rate),
        channels=int(channels[0]) if channels else 1,
        params=read_params(fmtp),
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (named("pcmu/8000"), PCMU, True),
        (named("PCMU/16000"), PCMU, False),
        (named("L16/44100/2"), STATIC[10], True),
        (named("L16/44100/2"), STATIC[11], False),
        (named("opus/48000/2", "stereo=1"), OPUS, True),
        (named("opus/48000"), OPUS, False),
        (named("AMR/8000"), named("AMR/8000", "octet-align=0; mode-set=7"), True),
        (named("AMR/8000"), named("AMR/8000", "octet-align=1"), False),
        (named("amr-wb/16000", "OCTET-ALIGN=1"), named("AMR-WB/16000", "octet-align=1"), True),
        (named("iLBC/8000"), named("iLBC/8000", "mode=20"), False),
        (named("iLBC/8000"), named("iLBC/8000", "mode=30"), True),
        (Codec(payload_type=96), Codec(payload_type=96), False),
    ],
)
def test_the_same(one: Codec, other: Codec, same: bool) -> None:
    assert is_same(one, other) is is_same(other, one) is same


@pytest.mark.parametrize(
    ("text", "params", "written"),
    [
        ("", (), ""),
        (" a=1 ; b ;; c = 2", (("a", "1"), ("b", None), ("c", "2")), "a=1;b;c=2"),
        ("0-15,66", (("0-15,66", None),), "0-15,66"),
        ("x=a=b", (("x", "a=b"),), "x=a=b"),
    ],
)
def test_parameters(text: str, params: Params, written: str) -> None:
    assert read_params(text) == params
    assert write_params(params) == written


@pytest.mark.parametrize(
    ("fmtp", "keys", "written"),
    [
        ("", set(range(16)), "0-15"),
        ("0-15", set(range(16)), "0-15"),
        ("0-16,66,70", set(range(16)), "0-15"),
        ("0-11", set(range(12)), "0-11"),
        ("1, 3-4 ,15", {1, 3, 4, 15}, "1,3-4,15"),
        ("events=0-9", set(range(10)), "0-9"),
        ("32-36", set(), None),
        ("x", set(), None),
        ("9-0,256,-1,0-256,999999", set(), None),
        ("1-2-3", set(), None),
    ],
)
def test_keys_of_events(fmtp: str, keys: set[int], written: str | None) -> None:
    codec = named("telephone-event/8000", fmtp)
    assert keys_of(codec) == keys
    if written is not None:
        assert params_of_keys(keys) == ((written, None),)


def test_a_bomb_of_ranges_costs_little() -> None:
    fmtp = ",".join(["0-255"] * 4000) + ",16"
    assert keys_of(named("telephone-event/8000", fmtp)) == set(range(16))


def test_our_events() -> None:
    codec = events(48000, 110)
    assert (codec.payload_type, codec.clock_rate) == (110, 48000)
    assert keys_of(codec) == set(range(16))


@pytest.mark.parametrize(
    ("codec", "most", "ptime"),
    [(PCMU, 20, 20), (PCMU, 35, 30), (PCMU, 5, 10), (G722, 200, 60), (OPUS, 50, 40), (OPUS, 9, 10)],
)
def test_lengths_of_packets(codec: Codec, most: int, ptime: int) -> None:
    assert ptime_within(codec, most) == ptime

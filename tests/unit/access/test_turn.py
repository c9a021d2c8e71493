"""Credentials of a TURN server, as coturn makes them itself."""

from gateway.access.turn import Credential, IceServers, mint

NOW = 1_800_000_000.9
TURN = "turn:turn.example:3478?transport=udp"
STUN = "stun:turn.example:3478"
SERVERS = IceServers(urls=(STUN, TURN), secret="a secret", ttl=3600)


def test_a_password_is_what_coturn_makes_of_the_name() -> None:
    made = mint(SERVERS, "alice", NOW, 600)
    assert (made.username, made.ttl) == ("1800000600:alice", 600)
    # printf 1800000600:alice | openssl dgst -sha1 -hmac 'a secret' -binary | openssl base64
    assert made.password == "swoB5rMSTUuqvc/WkjyGrgJQJUY="
    assert made.ice_servers == (
        {"url": STUN, "urls": STUN},
        {"url": TURN, "urls": TURN, "username": made.username, "credential": made.password},
    )


def test_none_counts_longer_than_the_config_says() -> None:
    made = mint(SERVERS, "alice", NOW, 10**9)
    assert (made.username, made.ttl) == ("1800003600:alice", 3600)


def test_without_a_relay_there_is_nothing_to_log_in_to() -> None:
    assert mint(IceServers(), "alice", NOW, 60) == Credential(
        username="", password="", ttl=60, ice_servers=()
    )
    alone = mint(IceServers(urls=(STUN,)), "alice", NOW, 60)
    assert (alone.username, alone.ice_servers) == ("", ({"url": STUN, "urls": STUN},))


def test_nothing_secret_is_shown_by_chance() -> None:
    made = mint(SERVERS, "alice", NOW, 600)
    shown = repr((SERVERS, made))
    assert SERVERS.secret not in shown and made.password not in shown

"""Keys, clients behind proxies, and strangers who try too often."""

import pytest

from services.api.auth import Keys, Proxies, Strangers
from tests.unit.api.rig import KEY, SECOND_KEY, at

PROXY = "203.0.113.9"


@pytest.mark.against("A2")
@pytest.mark.parametrize("key", [KEY, SECOND_KEY])
def test_every_configured_key_is_admitted(key):
    assert Keys((KEY, SECOND_KEY)).admit([key.encode()])


@pytest.mark.against("A1")
@pytest.mark.parametrize(
    "presented",
    [[], [b""], [b"k" * 31], [b"k" * 33], [b"K" * 32], [b"\xff"], [b"x" * 10_000], [b"k" * 32] * 2],
)
def test_anything_else_is_not(presented):
    assert not Keys((KEY, SECOND_KEY)).admit(presented)


def test_without_keys_nobody_is_admitted():
    assert not Keys(()).admit([b""])


@pytest.mark.against("A35")
@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("127.0.0.1", [], None),
        ("::1", [], None),
        ("::ffff:127.0.0.1", [], None),
        ("127.0.0.1", ["198.51.100.1"], None),
        ("198.51.100.1", ["192.0.2.1"], "198.51.100.1"),
        (PROXY, ["192.0.2.1"], "192.0.2.1"),
        (PROXY, ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (PROXY, ["6.6.6.6", "192.0.2.1, 10.1.2.3"], "192.0.2.1"),
        (PROXY, ["6.6.6.6, rubbish"], "unknown"),
        (PROXY, [], PROXY),
        (PROXY, ["10.1.2.3"], "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("testclient", [], "unknown"),
        ("", [], "unknown"),
    ],
)
def test_who_asks(peer, forwarded, client):
    assert Proxies((PROXY, "10.0.0.0/8")).client(peer, forwarded) == client


def test_a_trusted_proxy_on_this_machine_tells_who_asks():
    assert Proxies(("127.0.0.1",)).client("127.0.0.1", ["192.0.2.1"]) == "192.0.2.1"


@pytest.mark.against("A4")
def test_after_twenty_failures_a_client_waits_for_the_minute_to_end():
    strangers = Strangers()
    for _ in range(20):
        assert strangers.wait("a", at(0)) == 0
        strangers.fail("a", at(0))
    assert strangers.wait("a", at(10)) == pytest.approx(50)
    assert strangers.wait("b", at(10)) == 0
    assert strangers.wait("a", at(60)) == 0
    strangers.fail("a", at(60))
    assert strangers.wait("a", at(60)) == 0


def test_this_machine_never_waits():
    strangers = Strangers()
    for _ in range(100):
        strangers.fail(None, at(0))
    assert strangers.wait(None, at(0)) == 0


@pytest.mark.against("A4")
def test_memory_for_strangers_is_bounded():
    strangers = Strangers()
    for _ in range(20):
        strangers.fail("first", at(0))
    for number in range(9_999):
        strangers.fail(str(number), at(0))
    assert strangers.wait("first", at(0)) > 0
    strangers.fail("one more", at(0))
    assert strangers.wait("first", at(0)) == 0

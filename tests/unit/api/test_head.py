"""The headers of a request, read as they came in."""

from services.api import head

SCOPE = {"headers": [(b"x-a", b"1"), (b"x-b", b"caf\xe9"), (b"x-a", b"2")]}


def test_every_value_of_a_header_in_order():
    assert head.values(SCOPE, b"x-a") == [b"1", b"2"]
    assert head.values(SCOPE, b"x-c") == []


def test_the_first_value_as_latin_1():
    assert head.text(SCOPE, b"x-a") == "1"
    assert head.text(SCOPE, b"x-b") == "café"


def test_a_header_that_is_not_there():
    assert head.text(SCOPE, b"x-c") == ""
    assert head.text(SCOPE, b"x-c", "0") == "0"

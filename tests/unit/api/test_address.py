"""Which addresses are taken, and in which form they are sent to."""

import re
import string
import time

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.api import address
from services.api.address import normalize, sort

LABEL = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=10)
DOMAIN = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
LOCAL = st.text(string.ascii_letters + string.digits + "._+-'!/", min_size=1, max_size=20)
LIKELY = st.builds("{}@{}".format, LOCAL, DOMAIN)
TOP = st.sampled_from(["com", "de", "test", "local", "testing", "arpa", "invalid", "c0m", "onion"])
LIKELIER = st.builds("{}@{}.{}".format, LOCAL, LABEL, TOP)
NAMED = st.builds("{}@Example.com".format, st.sampled_from(["INFO", "Postmaster", "WWW", "Ann"]))
ANYTHING = st.text(max_size=30)
SPRINKLED = st.builds(
    lambda text, place, extra: text[:place] + extra + text[place:],
    LIKELIER,
    st.integers(0, 20),
    st.sampled_from(
        ["\n", "\r\n", " ", ",", "@", "\0", "ü", "\u0131", "\u212a", "\u2028", "<", '"', "."]
    ),
)


def by_the_rules(email: str) -> str:
    return validate_email(
        email, allow_smtputf8=False, check_deliverability=False, strict=True
    ).ascii_email


@pytest.mark.against("A24")
@settings(max_examples=2000, deadline=None)
@given(LIKELY | LIKELIER | NAMED | ANYTHING | SPRINKLED)
@example("a@b.test")
@example("a@b.com\n")
@example("ann@\u212aino.com")  # the Kelvin sign, whose lower case is an ASCII k
@example("a@xn--mnchen-3ya.de")
@example("x" * 60 + "@a.com")
def test_it_answers_what_email_validator_answers(email):
    """The short way takes nothing that the library refuses, and makes the same of it."""
    try:
        expected = by_the_rules(email)
    except EmailNotValidError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            normalize(email)
    else:
        assert normalize(email) == expected


@settings(max_examples=500, deadline=None)
@given(st.lists(LIKELIER | NAMED | SPRINKLED, max_size=8))
@example(["a@b.com\nc@d.com", "e@f.com"])
@example(["a@b.com\n", "e@f.com"])
def test_a_list_is_sorted_as_its_addresses_are_one_by_one(emails):
    kept, refused = {}, []
    for place, email in enumerate(emails):
        try:
            kept.setdefault(by_the_rules(email).lower(), by_the_rules(email))
        except EmailNotValidError:
            refused.append(place)
    found = sort(emails)
    assert found.emails == tuple(kept.values())
    assert [one.place for one in found.refused] == refused
    assert len(found.emails) + found.duplicates + len(found.refused) == len(emails)


def test_most_addresses_go_the_short_way(monkeypatch):
    monkeypatch.setattr(address, "validate_email", None)
    for email in ("ann@example.com", "a.b+c_d-e@mail-1.example.co.uk", "Ann@Example.COM"):
        normalize(email)


@pytest.mark.parametrize(
    ("written", "sent_to"),
    [
        ("u@münchen.de", "u@xn--mnchen-3ya.de"),
        ("Ann.Lee@Example.COM", "Ann.Lee@example.com"),
        ("INFO@Example.com", "info@example.com"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("success+1@simulator.amazonses.com", "success+1@simulator.amazonses.com"),
        ("김@example.com", None),
        ("ü@example.com", None),
        ("a@b.com\r\nBcc: x@y.z", None),
        ("a@b.com\0", None),
        ("a@b.com\u2028", None),
        ("a@b.com,c@d.com", None),
        ('"x" <a@b.com>', None),
        ("<a@b.com>", None),
        ('"a b"@b.com', None),
        ("a(comment)@b.com", None),
        ("a@@b.com", None),
        ("@b.com", None),
        ("a@", None),
        ("a b@c.de", None),
        ("a" * 65 + "@b.com", None),
        ("a@" + ".".join(["b" * 62] * 4) + ".com", None),
        ("a@" + "b" * 64 + ".com", None),
        ("a@[127.0.0.1]", None),
        ("a@localhost", None),
        ("a@b", None),
        ("", None),
        ("a@b.com" * 100_000, None),
    ],
)
def test_addresses(written, sent_to):
    if sent_to is None:
        with pytest.raises(ValueError, match=r"\."):
            normalize(written)
    else:
        assert normalize(written) == sent_to


@pytest.mark.against("H34")
def test_a_repeat_in_another_spelling_is_a_duplicate_and_the_first_one_is_kept():
    found = sort(["Ann@example.com", "ann@EXAMPLE.com", "bob@example.com", "bob@example.com"])
    assert found.emails == ("Ann@example.com", "bob@example.com")
    assert found.duplicates == 2


def test_a_refused_address_is_named_by_its_place_and_cut():
    found = sort(["ann@example.com"] * 300 + ["x" * 1000])
    (one,) = found.refused
    assert (one.place, len(one.email)) == (300, 320)


@pytest.mark.against("A36")
@pytest.mark.parametrize("piece", ["a", "a.", "a@", "@", "a-", "-", "a@b.", "1.", "ü"])
def test_no_address_takes_long(piece):
    began = time.perf_counter()
    sort([(piece * 320)[:320]] * 10)
    assert time.perf_counter() - began < 0.5

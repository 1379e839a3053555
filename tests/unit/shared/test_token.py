"""Open-pixel tokens cannot be guessed, changed or used for another purpose."""

import base64
import hashlib
import hmac
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import RecipientId
from shared.token import open_token, read_open_token

SECRET = b"s" * 32
ids = st.integers(0, 2**63 - 1).map(RecipientId)


@given(ids)
def test_a_token_reads_back_as_its_recipient(recipient):
    token = open_token(SECRET, recipient)
    assert read_open_token(SECRET, token) == recipient
    assert len(token) == 32
    assert token.replace("-", "").replace("_", "").isalnum()


@given(ids)
def test_another_installation_does_not_take_it(recipient):
    assert read_open_token(b"t" * 32, open_token(SECRET, recipient)) is None


@pytest.mark.against("A16")
@given(ids, st.integers(0, 191))
def test_no_bit_may_be_changed(recipient, bit):
    raw = bytearray(base64.urlsafe_b64decode(open_token(SECRET, recipient)))
    raw[bit // 8] ^= 1 << bit % 8
    assert read_open_token(SECRET, base64.urlsafe_b64encode(raw).decode()) is None


@given(st.text(max_size=40) | st.text("abcXYZ09-_+/=!%", min_size=32, max_size=32))
def test_any_text_is_answered(text):
    assert read_open_token(SECRET, text) is None


@pytest.mark.against("A16")
def test_a_hundred_thousand_guesses_find_nothing():
    dice = random.Random(7)
    ident = (1).to_bytes(8, "big")
    for _ in range(100_000):
        guess = base64.urlsafe_b64encode(ident + dice.randbytes(16)).decode()
        assert read_open_token(SECRET, guess) is None


@pytest.mark.against("A16", "H63")
def test_a_mac_made_for_another_purpose_is_refused():
    ident = (1).to_bytes(8, "big")
    mac = hmac.digest(SECRET, b"unsubscribe\0" + ident, hashlib.sha256)[:16]
    assert read_open_token(SECRET, base64.urlsafe_b64encode(ident + mac).decode()) is None


def test_neighbours_tokens_share_nothing_but_the_number():
    one, two = open_token(SECRET, RecipientId(1)), open_token(SECRET, RecipientId(2))
    assert one[11:] != two[11:]

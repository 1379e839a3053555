"""Which headers a caller may set."""

import pytest

from services.api.headers import check

PLACE = "/messages/0/headers"
ONE_CLICK = "List-Unsubscribe=One-Click"


def test_good_headers_are_taken_as_they_are():
    given = {
        "List-Unsubscribe": "<https://example.com/u/abc>, <mailto:u@example.com>",
        "List-Unsubscribe-Post": ONE_CLICK,
        "X-Campaign": "a b c",
        "precedence": "bulk",
    }
    assert check(given, PLACE) == (tuple(given.items()), [])


@pytest.mark.against("A23")
@pytest.mark.parametrize(
    "name",
    [
        "From",
        "To",
        "Bcc",
        "Return-Path",
        "DKIM-Signature",
        "Message-ID",
        "Subject",
        "Date",
        "Sender",
    ],
)
def test_other_headers_are_refused(name):
    ((place, fault),) = check({name: "x"}, PLACE)[1]
    assert place == f"{PLACE}/{name}"
    assert "not among" in fault


@pytest.mark.against("A23")
@pytest.mark.parametrize("name", ["X-SES-CONFIGURATION-SET", "x-ses-message-tags", "X-"])
def test_not_every_x_is_the_callers(name):
    assert "not among" in check({name: "x"}, PLACE)[1][0].message


@pytest.mark.against("A22")
@pytest.mark.parametrize("name", ["", "X-A:", "X A", "X-\r\nBcc", "X-Ü", "X-" + "a" * 125])
def test_a_name_that_is_none_is_refused(name):
    assert "no header name" in check({name: "x"}, PLACE)[1][0].message


@pytest.mark.against("A22")
@pytest.mark.parametrize("value", ["", "a\r\nBcc: x@y.z", "a\0", "ü", "a" * 996, " a", "a ", "\t"])
def test_a_value_that_cannot_stand_in_a_header_is_refused(value):
    assert "printable ASCII" in check({"X-A": value}, PLACE)[1][0].message


def test_name_and_value_share_a_line():
    assert check({"X-A": "a" * 993}, PLACE)[1] == []
    assert "together with its name" in check({"X-A": "a" * 994}, PLACE)[1][0].message


def test_a_name_in_two_spellings_is_a_repeat():
    assert "comes twice" in check({"X-A": "1", "x-a": "2"}, PLACE)[1][0].message


def test_ses_takes_fifteen():
    assert check({f"X-{n}": "v" for n in range(15)}, PLACE)[1] == []
    assert "16 headers" in check({f"X-{n}": "v" for n in range(16)}, PLACE)[1][0].message


@pytest.mark.parametrize(
    ("post", "unsubscribe", "fault"),
    [
        ("One-Click", "<https://example.com/u>", "exactly"),
        ("list-unsubscribe=one-click", "<https://example.com/u>", "exactly"),
        (ONE_CLICK, None, "needs a List-Unsubscribe"),
        (ONE_CLICK, "<mailto:u@example.com>", "needs a List-Unsubscribe"),
        (ONE_CLICK, "<http://example.com/u>", "needs a List-Unsubscribe"),
    ],
)
def test_half_of_one_click_is_refused(post, unsubscribe, fault):
    given = {"List-Unsubscribe-Post": post}
    if unsubscribe:
        given["List-Unsubscribe"] = unsubscribe
    ((place, message),) = check(given, PLACE)[1]
    assert place == f"{PLACE}/List-Unsubscribe-Post"
    assert fault in message


def test_a_pointer_escapes_what_json_pointers_must():
    assert check({"a/b~c": "x"}, PLACE)[1][0].pointer == f"{PLACE}/a~1b~0c"

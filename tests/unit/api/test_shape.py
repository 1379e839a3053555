"""From raw bytes to structs, or to a refusal that names the place."""

import pytest

from services.api import shape
from services.api.refusal import RefusalError


def refused(raw: bytes) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        shape.decode(raw)
    return caught.value


@pytest.mark.parametrize(
    ("raw", "pointer", "message"),
    [
        (b"null", "", "must be an object, not null"),
        (b"[]", "", "must be an object, not a list"),
        (b"{}", "/messages", "is missing"),
        (b'{"schedule_at":"x"}', "/schedule_at", "is no field of this API"),
        (b'{"messages":[{"emails":["a"]}]}', "/messages/0/subject", "is missing"),
        (b'{"messages":[{"emails":[null]}]}', "/messages/0/emails/0", "a string, not null"),
        (b'{"messages":[{"emails":["a",1]}]}', "/messages/0/emails/1", "a string, not a number"),
        (b'{"messages":[{"emails":[{"a":1}]}]}', "/messages/0/emails/0", "not an object"),
        (b'{"messages":[{"emails":"a@b.c"}]}', "/messages/0/emails", "a list, not a string"),
        (b'{"messages":[{"topic_id":5}]}', "/messages/0/topic_id", "a string or null, not a num"),
        (b'{"messages":[{"headers":{"X-A":1}}]}', "/messages/0/headers", "a string, not a number"),
        (b'{"messages":[{"a/b~":1}]}', "/messages/0/a~1b~0", "is no field"),
        (b'{"a`b":1}', "/a`b", "is no field"),
        (b'{"messages":[{"priority":true}]}', "/messages/0/priority", "a string or null, not true"),
        (b'{"messages":[],"expires_at":5}', "/expires_at", "a string or null, not a number"),
        (b'{"messages":[],"scheduled_at":true}', "/scheduled_at", "a string or null, not true"),
    ],
)
def test_another_shape_is_named_by_place(raw, pointer, message):
    refusal = refused(raw)
    assert (refusal.status, refusal.code) == (422, "wrong_shape")
    assert refusal.faults[0].pointer == pointer
    assert message in refusal.faults[0].message


def test_a_field_name_of_any_length_is_cut():
    assert len(refused(b'{"' + b"x" * 1_000_000 + b'":1}').sentence) < 200


def test_of_a_field_that_is_there_twice_the_last_one_counts():
    raw = b'{"messages":[{"emails":["a"],"emails":["b"],"subject":"s","content":"c"}]}'
    assert shape.decode(raw).messages[0].emails == ["b"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"nul",
        b"{}x",
        b'{"messages":[],}',
        b"[" * 100_000,
        b"[" * 1025 + b"]" * 1025,
        b'{"a":' * 1025 + b"1" + b"}" * 1025,
        b'{"x":' + b"[" * 200_000,
        b"1" * 100_000,
        b'{"messages":' + b"9" * 100_000 + b"}",
        b"NaN",
        b"Infinity",
        b'{"messages":NaN}',
        b'{"messages":1e400}',
        b'{"messages":[{"subject":"\\ud800"}]}',
        b'{"unknown":"\\ud800","x":',
        b"\xff\xfe",
        '{"messages":[]}'.encode("utf-16"),
        b'\xef\xbb\xbf{"messages":[]}',
        b'{"messages":[{"subject":"\xff"}]}',
        b'{"unknown":"\xff"}',
        b'{"messages":[{"subject":"\x01"}]}',
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_no_json_is_no_json_even_behind_a_wrong_shape(raw):
    refusal = refused(raw)
    assert (refusal.status, refusal.code) == (400, "not_json")
    assert len(refusal.sentence) < 200

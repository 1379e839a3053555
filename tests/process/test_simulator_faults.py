"""The fault script, seen from a socket and from boto3."""

import socket
import urllib.error

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)

from tests.process.test_simulator_rig import mail, simulator
from tests.process.test_simulator_ses import FULL, bulk, entry


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with simulator(tmp_path_factory.mktemp("faults")) as rig:
        yield rig


@pytest.fixture
def rig(shared):
    shared.post("/_simulator/reset?all=1", {})
    return shared


@pytest.mark.parametrize(
    ("do", "error", "accepted"),
    [
        ("accept_500", ClientError, 1),
        ("accept_close", (ConnectionClosedError, HTTPClientError), 1),
        ("close", (ConnectionClosedError, HTTPClientError), 0),
        ("throttle", ClientError, 0),
        ("error", ClientError, 0),
    ],
)
def test_a_call_goes_wrong_as_told(rig, do, error, accepted):
    rig.rule(do)
    with pytest.raises(error):
        rig.send()
    (row,) = rig.ledger()
    assert row["fault"] == do
    assert rig.summary()["accepted"] == accepted
    rig.faults()
    rig.send()


@pytest.mark.parametrize(("do", "accepted"), [("accept_hang", 1), ("hang", 0), ("slow_drip", 1)])
def test_a_call_hangs_as_told(rig, do, accepted):
    rig.rule(do, drip_s=0.6)
    impatient = rig.client("sesv2", read_timeout=0.3)
    with pytest.raises(ReadTimeoutError):
        impatient.send_email(**mail())
    assert rig.summary()["accepted"] == accepted


def test_boto3_takes_a_cut_answer_for_one_without_a_message_id(rig):
    rig.rule("truncate")
    answer = rig.send()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "MessageId" not in answer
    assert rig.summary()["accepted"] == 1


def test_an_answer_without_ids_and_one_too_short(rig):
    rig.rule("no_message_id")
    assert "MessageId" not in rig.send()
    entries = [entry(f"u{n}@example.com", FULL) for n in range(3)]
    (one, *_rest) = rig.ses.send_bulk_email(**bulk(entries))["BulkEmailEntryResults"]
    assert one == {"Status": "SUCCESS"}
    rig.rule("short_entries")
    assert len(rig.ses.send_bulk_email(**bulk(entries))["BulkEmailEntryResults"]) == 2
    assert rig.summary()["accepted"] == 7


def verdicts(rig, count, to="user@example.com"):
    said = []
    for _ in range(count):
        try:
            rig.send(to)
            said.append("ok")
        except ClientError:
            said.append("no")
    return said


def test_a_rule_counts_what_it_matches(rig):
    rig.rule("throttle", match={"after": 1, "every_nth": 2, "count": 2})
    assert verdicts(rig, 7) == ["ok", "ok", "no", "ok", "no", "ok", "ok"]
    rig.rule("throttle", match={"address_re": "^bad@"})
    assert verdicts(rig, 1) + verdicts(rig, 1, "bad@example.com") == ["ok", "no"]
    rig.rule("throttle", match={"api": "bulk"})
    assert verdicts(rig, 1) == ["ok"]
    rig.rule("throttle", match={"until_s": 0})
    assert verdicts(rig, 1) == ["ok"]


def test_other_operations_can_fail_too(rig):
    rig.rule("error", code="InternalFailure", status=500, match={"api": "GetAccount"})
    with pytest.raises(ClientError):
        rig.ses.get_account()
    rig.send()


@pytest.mark.parametrize(
    "script",
    [
        {"rules": [{"do": "explode"}]},
        {"rules": [{"do": "close", "match": {"adress_re": "x"}}]},
        {"rules": [{"do": "close", "match": {"address_re": "("}}]},
        {"rules": [{"do": "close", "match": {"every_nth": 0}}]},
        {"account": {"getaccount": "maybe"}},
        {"events": {"forge": "well"}},
        {"unknown": 1},
    ],
)
def test_a_bad_script_is_refused_and_changes_nothing(rig, script):
    rig.rule("throttle")
    with pytest.raises(urllib.error.HTTPError) as caught:
        rig.faults(**script)
    assert caught.value.code == 400
    assert b'"error"' in caught.value.read()
    caught.value.close()
    assert verdicts(rig, 1) == ["no"]


def test_pipelined_calls_are_answered_in_order_on_one_connection(rig):
    where = rig.url.removeprefix("http://").split(":")
    one = "GET /_simulator/health HTTP/1.1\r\nHost: x\r\n\r\n"
    two = "GET /v2/email/account HTTP/1.1\r\nHost: x\r\nauthorization: x\r\n\r\n"
    last = "GET /_simulator/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection((where[0], int(where[1]))) as line:
        line.sendall((two + one + last).encode())
        said = b""
        while chunk := line.recv(65536):
            said += chunk
    assert said.index(b"SendQuota") < said.index(b'"status":"ok"') < said.index(b"no such control")


def test_what_is_not_http_is_refused(rig):
    where = rig.url.removeprefix("http://").split(":")
    with socket.create_connection((where[0], int(where[1]))) as line:
        line.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400")
    rig.send()

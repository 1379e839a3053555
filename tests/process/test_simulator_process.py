"""The simulator as a process: settings, refusals, restarts, signals, its child."""

import json
import os
import select
import signal
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.process.test_simulator_rig import (
    PATIENCE,
    SECRET,
    Rig,
    Webhook,
    banner,
    launch,
    simulator,
)


def refusal(directory, **settings):
    process = launch(directory, **settings)
    _out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err.strip().splitlines()


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


def ended(pid):
    """Wait for any process to end, child of ours or not."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE)[0])
    finally:
        os.close(handle)


def test_every_bad_setting_is_named_at_once(tmp_path):
    code, lines = refusal(
        tmp_path,
        SIMULATOR_RATE="fast",
        SIMULATOR_PORT=70000,
        SIMULATOR_BOUNCE_SHARE=2,
        SIMULATOR_KEEP_BODIES="maybe",
    )
    assert code == 78
    assert len(lines) == 4
    for name in ("RATE", "PORT", "BOUNCE_SHARE", "KEEP_BODIES"):
        assert any(f"SIMULATOR_{name} must be" in line for line in lines)


@pytest.mark.parametrize(
    "settings",
    [
        {"AWS_ACCESS_KEY_ID": "AKIAABCDEFGHIJKLMNOP"},
        {"AWS_ACCESS_KEY_ID": "ASIAABCDEFGHIJKLMNOP"},
        {"SERVER_URL": "https://mail.example.com"},
        {"SERVER_URL": "http://127.0.0.1@mail.example.com"},
        {"SERVER_URL": "mail.example.com"},
    ],
)
def test_it_refuses_to_serve_production(tmp_path, settings):
    code, lines = refusal(tmp_path, **settings)
    assert code == 78
    assert len(lines) == 1
    assert "does not serve production" in lines[0]
    assert settings.get("AWS_ACCESS_KEY_ID", "none of it") not in lines[0]


def test_a_port_in_use_ends_it_with_a_sentence(tmp_path):
    with simulator(tmp_path) as rig:
        port = rig.url.rsplit(":", 1)[1]
        code, lines = refusal(tmp_path, SIMULATOR_PORT=port)
    assert code == 1
    assert "cannot listen" in lines[-1]


def test_topics_and_sets_survive_kill_and_its_child_goes_with_it(tmp_path):
    with Webhook() as webhook:
        with simulator(tmp_path) as rig:
            arn = rig.wire(webhook)
            rig.send(EmailTags=[{"Name": "mid", "Value": "before"}])
            assert len(rig.ledger()) == 1
            (courier,) = children(rig.process.pid)
            rig.process.kill()
            assert ended(courier)
        with simulator(tmp_path) as rig:
            rig.sns.publish(TopicArn=arn, Message="after")
            assert webhook.next().document["Message"] == "after"
            rig.send(ConfigurationSetName="bulk")
            assert webhook.next().event["eventType"] in ("Send", "Delivery")
            (courier,) = children(rig.process.pid)
        assert ended(courier)
    rows = [json.loads(row) for row in (tmp_path / "ledger.jsonl").read_bytes().splitlines()]
    assert [row["mid"] for row in rows] == ["before", None]


def test_an_unreadable_state_is_put_aside(tmp_path):
    (tmp_path / "state.json").write_text("{")
    with simulator(tmp_path) as rig:
        rig.sns.create_topic(Name="t")
    assert (tmp_path / "state.unreadable").read_text() == "{"


def test_without_its_courier_it_stops_to_be_started_again(tmp_path):
    process = launch(tmp_path)
    rig = Rig(process, banner(process))
    rig.send()
    (courier,) = children(process.pid)
    os.kill(courier, signal.SIGKILL)
    _out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "courier is gone" in err


def test_sigterm_lets_answers_under_way_go_out(tmp_path):
    with simulator(tmp_path, SIMULATOR_LATENCY_MS=300) as rig:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(rig.send()))
        thread.start()
        rig.until(lambda s: s["calls"] == 1)
        rig.process.terminate()
        thread.join(PATIENCE)
        assert rig.process.wait(PATIENCE) == 0
    assert "MessageId" in answers[0]


def test_the_ledger_file_can_be_off(tmp_path):
    with simulator(tmp_path, SIMULATOR_LEDGER_FILE=0, SIMULATOR_KEEP_BODIES=0) as rig:
        rig.send()
        assert len(rig.ledger()) == 1
        assert rig.mailbox() == []
    assert not (tmp_path / "ledger.jsonl").exists()


def test_signatures_are_checked_on_wish(tmp_path):
    settings = {"SIMULATOR_CHECK_SIGNATURES": 1, "AWS_SECRET_ACCESS_KEY": SECRET}
    with simulator(tmp_path, **settings) as rig:
        rig.send()
        rig.ses.put_suppressed_destination(EmailAddress="a+b@example.com", Reason="BOUNCE")
        rig.ses.get_suppressed_destination(EmailAddress="a+b@example.com")
        rig.ses.list_suppressed_destinations(Reasons=["BOUNCE", "COMPLAINT"], PageSize=3)
        rig.sns.create_topic(Name="t")
        wrong = Rig(rig.process, rig.url)
        wrong.ses._request_signer._credentials.secret_key = "another"
        wrong.sns._request_signer._credentials.secret_key = "another"
        with pytest.raises(ClientError) as caught:
            wrong.send()
        assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
        with pytest.raises(ClientError) as caught:
            wrong.sns.create_topic(Name="t")
        assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_a_share_of_addresses_bounces_the_same_way_every_time(tmp_path):
    def bounced(folder):
        with simulator(folder, SIMULATOR_BOUNCE_SHARE=0.3) as rig:
            for number in range(40):
                rig.send(f"u{number}@example.com")
            page = rig.ses.list_suppressed_destinations()["SuppressedDestinationSummaries"]
            return {one["EmailAddress"] for one in page}

    first = bounced(tmp_path / "a")
    assert 3 <= len(first) <= 22
    assert bounced(tmp_path / "b") == first

"""npm's sns-validator, written by AWS, judges the simulator's posts."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.process.test_simulator_rig import Webhook, simulator

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Install the validator in a folder of its own and give a function that asks it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are needed for AWS's own validator")
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "verify.js"):
        shutil.copy(HERE / name, folder)
    installed = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        timeout=100,
        check=False,
    )
    if installed.returncode:
        pytest.skip("npm could not install sns-validator")

    def ask(bodies):
        lines = "".join(json.dumps(body) + "\n" for body in bodies)
        said = subprocess.run(
            ["node", "verify.js"],
            cwd=folder,
            input=lines,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return said.stdout.splitlines()

    return ask


@pytest.mark.parametrize("version", ["1", "2"])
def test_awss_validator_accepts_genuine_posts_and_refuses_a_changed_byte(judge, tmp_path, version):
    with simulator(tmp_path, SIMULATOR_KEY_BITS=2048) as rig, Webhook() as webhook:
        arn = rig.sns.create_topic(Name="bulk", Attributes={"SignatureVersion": version})[
            "TopicArn"
        ]
        rig.sns.subscribe(TopicArn=arn, Protocol="http", Endpoint=webhook.url)
        confirmation = webhook.next()
        rig.sns.confirm_subscription(TopicArn=arn, Token=confirmation.document["Token"])
        rig.wire_set(arn)
        validated = webhook.next()
        rig.send(ConfigurationSetName="bulk")
        events = webhook.take(2)
        rig.sns.publish(TopicArn=arn, Message='without "Subject" 안녕\n')
        bare = webhook.next()
        rig.sns.publish(TopicArn=arn, Message="m", Subject="제목 <&>")
        posts = [confirmation, validated, *events, bare, webhook.next()]
        bodies = [post.body.decode() for post in posts]
        assert [post.document["SignatureVersion"] for post in posts] == [version] * 6
        assert ["Subject" in post.document for post in posts] == [
            False,
            False,
            True,
            True,
            False,
            True,
        ]
        assert judge(bodies) == ["accepted"] * 6
        changed = [
            json.dumps({**post.document, field: post.document[field] + "x"})
            for post in (confirmation, events[0])
            for field in ("Message", "MessageId", "TopicArn", "Timestamp")
        ]
        spoiled = json.dumps({**events[0].document, "Subject": "Another"})
        dropped = dict(events[0].document)
        del dropped["Subject"]
        said = judge([*changed, spoiled, json.dumps(dropped)])
    assert said == ["refused: The message signature is invalid."] * 10

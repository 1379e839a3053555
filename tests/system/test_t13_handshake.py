"""Subscribe, post, ConfirmSubscription, first event counted; and whoever is not SNS is refused."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from tests.system.stack import Stack, until

ARN = "arn:aws:sns:eu-west-1:123456789012:ses"


def subscriptions(stack: Stack) -> list[dict[str, str]]:
    return stack.client("sns").list_subscriptions_by_topic(TopicArn=ARN)["Subscriptions"]


def tally(stack: Stack, kind: str) -> dict[str, int]:
    """Answer how one kind of post fares: made, posted, acked, refused, …"""
    return stack.summary()["events"].get(kind, {})


def first_events_are_counted(stack: Stack) -> None:
    stack.post(["first@example.com"])
    until("it is heard of", lambda: stack.topic()["result_counts"].get("Delivery") == 1, 20)
    assert stack.topic()["result_counts"] == {"Send": 1, "Delivery": 1}


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_subscription_is_confirmed_by_the_api_and_events_come(make_stack, version):
    stack = make_stack().start()
    stack.connect_events(version)
    until("it is answered", lambda: tally(stack, "SubscriptionConfirmation")["acked"] == 1, 10)
    kept = json.loads((stack.folder / "simulator" / "state.json").read_text())
    [subscription] = kept["topics"][ARN]["subscriptions"].values()
    # A GET of the SubscribeURL would not be authenticated: so this was a signed call.
    assert subscription["confirmed"]
    assert subscription["authenticated"]
    first_events_are_counted(stack)


@pytest.mark.against("N5")
def test_a_webhook_that_is_down_at_first_is_asked_again(make_stack):
    stack = make_stack(SIMULATOR_RETRY_SECONDS="6")
    stack.start_simulator()
    sns = stack.client("sns")
    sns.create_topic(Name="ses", Attributes={"SignatureVersion": "2"})
    sns.subscribe(TopicArn=ARN, Protocol="http", Endpoint=f"{stack.url}/v1/events/results")
    until("nobody answered", lambda: tally(stack, "SubscriptionConfirmation")["posted"] == 1)
    stack.start()
    until("it is confirmed", lambda: subscriptions(stack)[0]["SubscriptionArn"].startswith("arn:"))
    until("it is answered", lambda: tally(stack, "SubscriptionConfirmation")["acked"] == 1, 10)
    assert tally(stack, "SubscriptionConfirmation")["posted"] >= 2
    stack.connect_events()
    first_events_are_counted(stack)


# ── forgeries ──


class Elsewhere:
    """Another web server that was subscribed: it has a genuine post of SNS to alter."""

    def __init__(self) -> None:
        self.posts: list[bytes] = []
        elsewhere = self

        class Desk(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                elsewhere.posts.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    elsewhere = Elsewhere()
    yield elsewhere
    elsewhere.close()


def answer(stack: Stack, envelope: dict[str, str]) -> httpx2.Response:
    headers = {"x-amz-sns-message-type": envelope["Type"]}
    body = json.dumps(envelope).encode()
    return httpx2.post(f"{stack.url}/v1/events/results", content=body, headers=headers)


@pytest.mark.against("A8", "A11", "A12", "A13", "H54")
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_forged_confirmation_confirms_nothing(make_stack, elsewhere, version):
    stack = make_stack().start()
    sns = stack.client("sns")
    sns.create_topic(Name="ses", Attributes={"SignatureVersion": version})
    sns.subscribe(TopicArn=ARN, Protocol="http", Endpoint=elsewhere.url)
    [body] = until("SNS has posted", lambda: list(elsewhere.posts))
    genuine = json.loads(body)
    assert genuine["SignatureVersion"] == version
    other = {"1": "2", "2": "1"}[version]
    changes = [
        {"Token": "0" * len(genuine["Token"])},
        {"TopicArn": f"{ARN}-of-somebody"},
        {"SubscribeURL": "http://169.254.169.254/"},
        {"Signature": ""},
        {"SignatureVersion": other},
        {"SigningCertURL": f"{elsewhere.url}SimpleNotificationService-{'0' * 32}.pem"},
        {"Type": "UnsubscribeConfirmation"},
    ]
    for change in changes:
        refused = answer(stack, genuine | change)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_believed"), change
    assert [one["SubscriptionArn"] for one in subscriptions(stack)] == ["PendingConfirmation"]
    # The very same post, unchanged, is one of SNS's: only the changes were refused.
    assert answer(stack, genuine).status_code == 200
    assert subscriptions(stack)[0]["SubscriptionArn"].startswith("arn:")


@pytest.mark.against("A8", "A12")
def test_forged_events_are_refused_for_good_and_count_nothing(stack):
    for number, forge in enumerate(("bad_signature", "foreign_topic", "unsigned"), start=1):
        stack.faults(events={"forge": forge})
        stack.post([f"{forge}-{n}@example.com" for n in range(5)], forge)
        stack.wait_counts({"Sent": 5}, forge)
        until("all are refused", lambda n=number: tally(stack, "Delivery").get("refused") == 5 * n)
        for kind in ("Send", "Delivery"):
            told = tally(stack, kind)
            assert told["refused"] == told["posted"] == told["made"] == 5 * number
        assert stack.topic(forge)["result_counts"] == {}
    assert stack.sql("SELECT count(*) FROM result") == [(0,)]
    assert stack.sql("SELECT count(*) FROM orphan") == [(0,)]
    stack.faults()
    stack.post(["first@example.com"])
    until("it is heard of", lambda: stack.topic()["result_counts"].get("Delivery") == 1, 20)

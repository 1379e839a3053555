"""The main job: mail goes out once, results come back, every number agrees."""

import httpx2

from tests.system.stack import until


def test_every_recipient_is_sent_once_and_heard_of(stack):
    emails = [f"user{n}@example.com" for n in range(400)]
    emails += ["bounce@simulator.amazonses.com", "complaint+x@simulator.amazonses.com"]
    answer = stack.post(emails)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["total"], answer.json()["success"]) == (402, 402)
    stack.wait_counts({"Sent": 402})
    accepted = stack.accepted()
    assert sorted(accepted) == sorted(emails)
    assert set(accepted.values()) == {1}
    until("all events are in", lambda: stack.summary()["events_total"]["pending"] == 0)
    results = until(
        "results agree",
        lambda: (
            (found := stack.topic()["result_counts"])
            and found.get("Send") == 402
            and found.get("Delivery", 0) + found.get("Bounce", 0) >= 402
            and found
        ),
    )
    made = stack.summary()["events"]
    assert results == {kind: made[kind]["made"] for kind in results}
    assert results["Bounce"] >= 1
    assert results["Complaint"] >= 1
    sent = stack.http.get("/v1/events/counts/sent", params={"hours": 1}).json()
    assert sent == {"count": 402}


def test_the_mail_that_arrives_is_the_mail_that_was_posted(make_stack):
    stack = make_stack(SIMULATOR_KEEP_BODIES="1", SES_SEND_API="single").start()
    stack.connect_events()
    html = "<html><body><p>50 % off, {{name}} & «you»</p><!-- </body> --></body></html>"
    headers = {"List-Unsubscribe": "<https://example.com/u/1>", "X-Campaign": "c1"}
    answer = stack.http.post(
        "/v1/messages",
        json={
            "messages": [
                {
                    "emails": ["a@example.com"],
                    "subject": "Héllo {{x}}",
                    "content": html,
                    "headers": headers,
                }
            ]
        },
    )
    assert answer.status_code == 200, answer.text
    mails = until("it arrives", lambda: stack.ses.get("/_simulator/mailbox").json()["mails"])
    mail = mails[0]
    assert mail["subject"] == "Héllo {{x}}"
    before, _, after = mail["html"].partition("<img ")
    pixel, _, rest = after.partition(">")
    assert before + rest == html
    assert rest == "</body></html>"
    assert dict(mail["headers"]).items() >= headers.items()
    url = pixel.split('src="')[1].split('"')[0]
    assert url.startswith(f"{stack.url}/v1/events/open?request_id=")
    for _ in range(2):
        picture = httpx2.get(url)
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    until("the opens count", lambda: stack.sql("SELECT hits FROM opening") == [(2,)])


def test_the_bulk_lane_renders_what_the_single_lane_sends(make_stack):
    stack = make_stack(SIMULATOR_KEEP_BODIES="1", SES_SEND_API="bulk").start()
    stack.connect_events()
    html = '<html><body><p>{{literal}} braces, \\{{ and {{{raw}}} & <b>"q"</b></p></body></html>'
    answer = stack.post([f"u{n}@example.com" for n in range(40)], content=html, subject="{{s}}")
    assert answer.status_code == 200, answer.text
    stack.wait_counts({"Sent": 40})
    assert {row["api"] for row in stack.ledger()} == {"bulk"}
    for mail in stack.ses.get("/_simulator/mailbox").json()["mails"]:
        before, _, after = mail["html"].partition("<img ")
        assert before + after.partition(">")[2] == html
        assert mail["subject"] == "{{s}}"
    assert "Rendering Failure" not in stack.summary()["events"]

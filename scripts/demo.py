"""The whole product at work on the simulator: a newsletter goes out, and its results come in."""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from scripts.stage import Stage, StageError

RATE = 1000.0
TOPIC = "slow_books_2027_01"
SUBJECT = "느린 책방 편지 48호: 새해, 한 권을 끝까지 읽는 일"
LARGEST_REQUEST = 10_000
PATIENCE_S = 60.0
"""Without any progress for so long the demo gives up."""

console = Console()


class Count(NamedTuple):
    """Where the newsletter is."""

    waiting: int
    sent: int
    ended: int
    delivered: int
    bounced: int
    complained: int


class Finding(NamedTuple):
    """A line of the final table."""

    what: str
    found: int
    wanted: str
    holds: bool


def recipients(number: int) -> list[str]:
    """Make up readers; about one in fifty bounces, by the simulator's own rule."""
    homes = ("example.com", "example.net", "example.org", "mail.example.com")
    return [f"reader.{one}@{homes[one % len(homes)]}" for one in range(number)]


def post(stage: Stage, emails: list[str]) -> None:
    """Post the newsletter, 10,000 recipients a request."""
    html = (Path(__file__).parent / "newsletter.html").read_text()
    for first in range(0, len(emails), LARGEST_REQUEST):
        mail = {
            "topic_id": TOPIC,
            "emails": emails[first : first + LARGEST_REQUEST],
            "subject": SUBJECT,
            "content": html,
            "headers": {"List-Unsubscribe": "<https://shop.example.com/unsubscribe>"},
        }
        status, answer = stage.ask("POST", "/v1/messages", {"messages": [mail]})
        if status != 200:
            raise StageError(f"the newsletter was refused with {status}: {answer}")
        console.print(
            f"accepted [bold]{answer['success']:,}[/] of {answer['total']:,} recipients"
            f" in {answer['duration_ms']} ms"
        )


def count(stage: Stage) -> Count:
    """Ask the API how far the newsletter is."""
    topic: dict[str, Any] = stage.ask("GET", f"/v1/topics/{TOPIC}")[1]
    states, results = topic["request_counts"], topic["result_counts"]
    waiting, sent = states["Created"] + states["Processed"], states["Sent"]
    came = (results.get(word, 0) for word in ("Delivery", "Bounce", "Complaint"))
    return Count(waiting, sent, sum(states.values()) - waiting - sent, *came)


def watch(stage: Stage, total: int) -> Iterator[tuple[Count, float]]:
    """Yield the count four times a second, and the seconds since the start, until all is over."""
    started = moved = time.monotonic()
    known = None
    while True:
        now, counted = time.monotonic(), count(stage)
        yield counted, now - started
        is_answered = counted.delivered + counted.bounced >= counted.sent
        if counted.sent + counted.ended >= total and is_answered:
            return
        if counted != known:
            known, moved = counted, now
        elif now - moved > PATIENCE_S:
            raise StageError(f"nothing moved for {PATIENCE_S:.0f} s; see {stage.log}")
        time.sleep(0.25)


def draw(counted: Count, seconds: float, total: int) -> Table:
    """Lay the progress out."""
    table = Table.grid(padding=(0, 2))
    rows = [("sent", counted.sent), ("delivered", counted.delivered), ("bounced", counted.bounced)]
    for name, number in rows:
        bar = ProgressBar(total=total, completed=number, width=40)
        table.add_row(name, bar, f"{number:,}", f"{number / max(seconds, 0.1):,.0f}/s")
    table.add_row("complaints", "", f"{counted.complained:,}", "")
    return table


def show(stage: Stage, total: int) -> None:
    """Show the newsletter going out, live on a terminal, else a line now and then."""
    if not console.is_terminal:
        said = 0.0
        for counted, seconds in watch(stage, total):
            if seconds >= said:
                console.print(
                    f"{seconds:5.1f} s  sent {counted.sent:,}  delivered {counted.delivered:,}"
                    f"  bounced {counted.bounced:,}  complaints {counted.complained:,}"
                )
                said = seconds + 2.0
        return
    with Live(console=console, auto_refresh=False) as live:
        for counted, seconds in watch(stage, total):
            live.update(draw(counted, seconds, total), refresh=True)


def judge(stage: Stage, total: int) -> list[Finding]:
    """Compare the API's own counts and the simulator's ledger with what must be."""
    topic: dict[str, Any] = stage.ask("GET", f"/v1/topics/{TOPIC}")[1]
    states, results = topic["request_counts"], topic["result_counts"]
    ledger = stage.ask_simulator("summary")
    answered = results.get("Delivery", 0) + results.get("Bounce", 0)
    return [
        *(exactly(state, number, total * (state == "Sent")) for state, number in states.items()),
        exactly("with a Delivery or a Bounce", answered, total),
        exactly("in the simulator's ledger", ledger["accepted"], total),
        exactly("different mails among them", ledger["distinct_mids"], total),
        exactly("there more than once", ledger["doubled_mids"], 0),
        # How even the load is depends on what else this machine does: told, not judged.
        Finding("most in any one second", ledger["worst_second"], f"R = {RATE:,.0f}", holds=True),
    ]


def exactly(what: str, found: int, wanted: int) -> Finding:
    """Find that one number is another."""
    return Finding(what, found, f"{wanted:,}", found == wanted)


def conclude(findings: list[Finding]) -> bool:
    """Print the final table; tell whether every mail is accounted for."""
    table = Table(title="Is every mail accounted for?")
    table.add_column("recipients")
    for name in ("is", "must be"):
        table.add_column(name, justify="right")
    table.add_column("")
    for finding in findings:
        mark = "[green]yes[/]" if finding.holds else "[bold red]NO[/]"
        table.add_row(finding.what, f"{finding.found:,}", finding.wanted, mark)
    console.print(table)
    return all(finding.holds for finding in findings)


def invite(stage: Stage) -> None:
    """Print what can be tried while everything is up."""
    key = f'-H "X-API-KEY: {stage.key}"'
    data = '{"messages":[{"topic_id":"mine","emails":["you@example.com"],"subject":"Hi",'
    data += '"content":"<h1>Hello</h1>"}]}'
    kind = '-H "Content-Type: application/json"'
    console.print("\nAll is still running. Try, in another terminal:\n", style="bold")
    for line in (
        f"curl {key} {kind} -d '{data}' {stage.url}/v1/messages",
        f"curl {key} {stage.url}/v1/topics/{TOPIC}",
        f"curl {stage.url}/ready",
        f"curl {stage.simulator_url}/_simulator/summary",
        f"STATS_SOCKET=tcp://127.0.0.1:{stage.ports.stats} scripts/stats",
        f"DATA_DIR={stage.folder} scripts/ctl status",
        f"tail -f {stage.log}",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
    console.print("\nCtrl-C stops everything.", style="bold")


def perform(arguments: argparse.Namespace, stage: Stage) -> int:
    """Play the demo from start to end; answer the exit code."""
    total = arguments.recipients
    console.print(
        Panel(
            f"SIMULATOR at {stage.simulator_url}, {RATE:,.0f} recipients/s: a stand-in for Amazon"
            " SES and SNS.\nNo mail leaves this machine, and no AWS account is needed.",
            style="black on yellow",
        )
    )
    with console.status("starting every process under supervisord"):
        stage.start()
    console.print(f"API at {stage.url}, everything in {stage.folder}", highlight=False)
    post(stage, recipients(total))
    show(stage, total)
    complete = conclude(judge(stage, total))
    if not arguments.once:
        invite(stage)
        signal.pause()
    return 0 if complete else 1


def main() -> int:
    """Read the arguments, play, and stop whatever was started, however it ends."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when every mail is accounted for")
    parser.add_argument("--recipients", type=int, default=10_000, metavar="N")
    arguments = parser.parse_args()
    if not 1 <= arguments.recipients <= 1_000_000:
        parser.error("--recipients must be 1 to 1,000,000")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stage = Stage(RATE)
    code = 1
    try:
        code = perform(arguments, stage)
    except StageError as error:
        console.print(f"demo: {error}", style="bold red", highlight=False)
    except KeyboardInterrupt:
        code = 130 if arguments.once else 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave anything behind
        with console.status("stopping every process"):
            stage.stop(idle=code == 0)
        if code != 1:
            with contextlib.suppress(OSError):
                stage.remove()
    return code


if __name__ == "__main__":
    sys.exit(main())

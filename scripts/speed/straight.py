"""The straight way to send: boto3's send_email, one client, threads, no database; a process."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from scripts.speed.bed import letter

THREADS = 32


def send(client: Any, html: str, number: int) -> None:
    """Send one mail."""
    client.send_email(
        FromEmailAddress="letter@shop.example.com",
        Destination={"ToAddresses": [f"reader.{number}@example.com"]},
        Content={
            "Simple": {
                "Subject": {"Data": "Bench", "Charset": "UTF-8"},
                "Body": {"Html": {"Data": html, "Charset": "UTF-8"}},
            }
        },
        EmailTags=[{"Name": "mid", "Value": f"bench-{number}"}],
        ConfigurationSetName="demo",
    )


def main() -> None:
    """Send to the endpoint of the first argument as many as the second says; print the rate."""
    endpoint, number = sys.argv[1], int(sys.argv[2])
    session = boto3.session.Session("simulator", "simulator-secret", region_name="ap-northeast-2")
    config = Config(max_pool_connections=THREADS, proxies={})
    client = session.client("sesv2", endpoint_url=endpoint, config=config)
    html = letter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda one: send(client, html, one), range(THREADS)))  # it is warm now
        began, cpu = time.monotonic(), time.process_time()
        list(pool.map(lambda one: send(client, html, one), range(number)))
    took, used = time.monotonic() - began, time.process_time() - cpu
    print(json.dumps({"rate": number / took, "cpu_s_per_million": used / number * 1e6}))


if __name__ == "__main__":
    main()

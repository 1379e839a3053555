"""The two calls that carry mail through a plain boto3 client on threads (SES_CLIENT=boto3)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProxyConnectionError,
    SSLError,
)

from services.sender.aws import Aws
from services.sender.reply import Ending, NoReply, Reply, read_entries

MOST_THREADS = 64
"""Calls at once; one more would wait for a thread while its permit grows stale."""


class PlainClient:
    """A client that calls once; its request bodies are named as its parameters are."""

    def __init__(self, aws: Aws) -> None:
        self._client = aws.client("sesv2", pool=MOST_THREADS)
        self._threads = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="ses")

    async def send(self, body: bytes, *, is_bulk: bool) -> Ending:
        """Make one call, on a thread."""
        operation = self._client.send_bulk_email if is_bulk else self._client.send_email
        parameters = msgspec.json.decode(body)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call_once, operation, parameters)

    async def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)


def call_once(operation: Any, parameters: dict[str, Any]) -> Ending:
    """Call, and turn whatever the client answers or raises into an ending."""
    try:
        answer = operation(**parameters)
    except ClientError as error:
        said = error.response
        status = int(said.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code, text = (str(said.get("Error", {}).get(key, "")) for key in ("Code", "Message"))
        # Where SES gave no name, botocore puts the status in its place.
        return Reply(status, "" if code.isdigit() else code, text)
    except NoCredentialsError as error:
        return Reply(403, "MissingAuthenticationToken", str(error))
    except (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError) as error:
        return NoReply(left=False, detail=f"{type(error).__name__}: {error}")
    except SSLError as error:
        # A certificate is refused before anything is sent; other TLS trouble may come later.
        refused = "certificate verify failed" in str(error).lower()
        return NoReply(left=not refused, detail=f"{type(error).__name__}: {error}")
    except BotoCoreError as error:
        return NoReply(left=True, detail=f"{type(error).__name__}: {error}")
    return Reply(200, message_id=str(answer.get("MessageId", "")), entries=read_entries(answer))

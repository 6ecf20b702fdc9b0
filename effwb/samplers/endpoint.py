"""A completions endpoint over HTTP: bounded concurrency, retries with backoff, errors that say what to do.

The key is read from the environment at every call and never stored. Whatever a server answers is shown
without it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from effwb._internal.server_key import KEY, without_key
from effwb.errors import ConfigError, EffwbError, EngineError

if TYPE_CHECKING:
    import httpx

    from effwb.samplers.request import RequestQueue, Response, Ticket

URL = "EFFWB_SERVER_URL"  # environment variable
RETRIED_STATUSES = (408, 425, 429, 500, 502, 503, 504)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between two tries
CONNECT_TIMEOUT, GET_TIMEOUT = 10.0, 60.0  # seconds
WARNING_INTERVAL = 60.0  # seconds between two warnings that the server does not answer


class RetryableError(Exception):
    """A failure that may not happen again at the next try.

    Args:
        reason: What failed.
        wait: The least wait in seconds before the next try, as the server asks.
    """

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class Endpoint:
    """One server with an OpenAI-compatible API.

    Args:
        url: Where the API is, such as "http://localhost:8000/v1". None: the environment variable
            EFFWB_SERVER_URL.
        concurrency: The most requests under way at once.
        timeout: Seconds until a request without an answer has failed.
        patience: Seconds after its first failure during which a request is sent again.

    Raises:
        ConfigError: If the URL is not one of an HTTP server or holds credentials.
    """

    def __init__(self, url: str | None, concurrency: int, timeout: float, patience: float):
        self._url = url and _checked_url(url)
        self.concurrency, self.timeout, self.patience = concurrency, timeout, patience
        self._warned_at = float("-inf")

    @property
    def url(self) -> str:
        """Where the API is, mostly `http://<host>:<port>/v1`."""
        if self._url is None and not os.environ.get(URL):
            raise ConfigError(
                f"engine 'server' needs the server's URL: pass url='http://localhost:8000/v1' or set the "
                f"environment variable {URL}"
            )
        return self._url or _checked_url(os.environ[URL])

    def get(self, path: str) -> dict:
        """Fetch a page of JSON, in one try.

        Args:
            path: The page, relative to the URL.

        Raises:
            EngineError: If the server does not answer or refuses.
        """

        async def once():
            async with self._client(_trusted_certificates(), min(self.timeout, GET_TIMEOUT)) as client:
                return await self._answer(client, "GET", path)

        return _run_without_key(once(), f"no answer from the server at {self.url}")

    def post_all(
        self,
        path: str,
        queue: RequestQueue,
        body_of: Callable[[Ticket], dict],
        read: Callable[[dict, dict], Response],
    ) -> None:
        """Serve the requests of a queue until it is finished.

        The first failure that stays ends all requests, and so does an interrupt: the server drops them.

        Args:
            path: Where to post, relative to the URL.
            queue: The requests.
            body_of: `body_of(ticket)` is the JSON body of a request.
            read: `read(answer, body)` is the response in the server's answer. It may raise `RetryableError`.

        Raises:
            EngineError: If the server refuses a request, or a request fails for longer than `patience`.
        """
        _run_without_key(self._post_all(path, queue, body_of, read), f"no answer from {self.url}")

    async def _post_all(self, path, queue, body_of, read) -> None:
        certificates, answered = _trusted_certificates(), asyncio.Event()

        async def next_ticket():
            """The next request; None if there will be no more."""
            while (ticket := queue.next()) is None and not queue.finished:
                await answered.wait()
            return ticket

        async def work():
            if (ticket := await next_ticket()) is None:
                return
            # A client each: the work of one client per request grows with the connections it holds.
            async with self._client(certificates, self.timeout) as client:
                while ticket is not None:
                    queue.answer(ticket, await self._post(client, path, body_of(ticket), read))
                    answered.set()
                    answered.clear()  # all that waited have been woken
                    ticket = await next_ticket()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.concurrency):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _post(self, client, path: str, body: dict, read):
        pause, give_up_at = FIRST_PAUSE, None
        while True:
            try:
                return read(await self._answer(client, "POST", path, json=body), body)
            except RetryableError as error:
                now = time.monotonic()
                give_up_at = now + self.patience if give_up_at is None else give_up_at
                wait = max(error.wait, pause * _jitter.uniform(0.5, 1.0))
                if now + wait > give_up_at:
                    raise EngineError(
                        f"the server at {self.url} failed for {self.patience:g} s ({error}); what is "
                        "finished is kept, and the same call continues when the server is back"
                    ) from None
                if now - self._warned_at >= WARNING_INTERVAL:
                    self._warned_at = now
                    logger = logging.getLogger(__name__)
                    logger.warning("server at %s: %s; trying again", self.url, without_key(error))
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _client(self, certificates: SSLContext, timeout: float) -> httpx.AsyncClient:
        import httpx

        key = os.environ.get(KEY, "").strip()
        if not (key.isascii() and key.isprintable()):  # httpx would show the key in its error
            raise ConfigError(f"{KEY} holds characters that a key cannot have")
        try:
            return httpx.AsyncClient(
                base_url=self.url,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=httpx.Timeout(timeout, connect=CONNECT_TIMEOUT),
                verify=certificates,
            )
        except (ValueError, httpx.InvalidURL):  # their messages may show a password
            raise ConfigError(
                "a proxy in the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) is no URL that can be used"
            ) from None

    async def _answer(self, client: httpx.AsyncClient, method: str, path: str, **request) -> dict:
        import httpx

        try:
            response = await client.request(method, path, **request)
        except httpx.RequestError as error:
            # about a redirect, the message shows parts of the new address
            message = "an invalid redirect" if "location header" in str(error) else without_key(error)
            raise RetryableError(f"{type(error).__name__}: {message}".rstrip(": ")) from None
        except (httpx.InvalidURL, httpx.HTTPError, ValueError) as error:  # headers or bodies that break HTTP
            raise EngineError(f"{self.url}/{path}: {type(error).__name__}: {without_key(error)}") from None
        if response.status_code in RETRIED_STATUSES:
            raise RetryableError(
                f"status {response.status_code}: {_message(response)}", _retry_after(response)
            )
        if response.status_code in (401, 403):  # the server's own message may show the key
            raise EngineError(f"the server at {self.url} refuses the key; set {KEY} in the environment")
        if response.status_code != 200:
            raise EngineError(
                f"the server at {self.url} refuses {path} with status {response.status_code}: "
                f"{_message(response)}"
            )
        try:
            return response.json()
        except (ValueError, RecursionError):
            text = without_key(response.text)[:80]
        raise RetryableError(f"the answer is not JSON: {text!r}")


def _trusted_certificates() -> SSLContext:
    """Read once for all clients of a call, because reading them takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()


_jitter = random.Random()  # not the global generator, which belongs to the user


def _run_without_key(coroutine: Coroutine, no_answer: str) -> Any:
    """Run a coroutine as `_run` does; its errors are raised as new ones, without the key and without a cause.

    Args:
        coroutine: The coroutine.
        no_answer: How the message begins if a failure was not retried.
    """
    kind: type[EffwbError]
    try:
        return _run(coroutine)
    except RetryableError as error:
        kind = EngineError
        message = f"{no_answer} ({without_key(error)}); is it running, and is the URL right?"
    except EffwbError as error:
        kind, message = type(error), without_key(error)
    raise kind(message)  # outside the except block: the old error may hold the request with its headers


def _run(coroutine: Coroutine) -> Any:
    """Run a coroutine in a thread of its own, because in a notebook this one already has a running loop.

    An interrupt cancels the coroutine.
    """
    started: Future = Future()

    async def main():
        started.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, main())
        try:
            return done.result()
        except BaseException:
            loop, task = started.result()
            with suppress(RuntimeError):  # the loop has already ended
                loop.call_soon_threadsafe(task.cancel)
            raise


def _checked_url(url: str) -> str:
    """The URL with the path of the API. A URL with a key in it is refused without showing it."""
    import httpx

    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):  # its message may show a password
        raise ConfigError("the server's URL is not valid; it must look like http://host:port/v1") from None
    if parsed.userinfo or parsed.query or parsed.fragment or "@" in url:
        raise ConfigError(f"the server's URL must hold no credentials or query; put a key into {KEY}")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"the server's URL must be http://host:port/v1 or https, got {without_key(url)!r}")
    return str(parsed).rstrip("/") + ("/v1" if parsed.path in ("", "/") else "")


def _message(response: httpx.Response) -> str:
    """The server's error message, at most a few lines of it."""
    try:
        error = response.json()["error"]
        message = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        message = response.text
    return without_key(message).strip()[:400] or "no message"


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:  # a date
        return 0.0

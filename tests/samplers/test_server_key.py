"""The server's key never leaves memory, whatever a server answers and wherever the answer goes."""

import base64
import json
import logging
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import nbformat
import pytest

from effwb import sweep
from effwb._internal.server_key import without_key
from effwb.errors import ConfigError, EffwbError
from effwb.profiles import Sampling
from effwb.rollouts import sample
from effwb.samplers import SamplingParams, endpoint, open_sampler

SECRET = "sk-Top/Secret+9f3a7c2e"
SPELLINGS = (SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode())


class Echo(BaseHTTPRequestHandler):
    """Serves the model "pocket"; the path of a POST says how it is answered, always with the key."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path.endswith("/models"):
            return self.reply(200, {"data": [{"id": "pocket", "max_model_len": 256}, {"id": self.echo}]})
        self.reply(200, {"version": self.echo})

    @property
    def echo(self) -> str:
        sent = self.headers.get("Authorization", "")
        return f"{sent} {self.headers.items()!r} {' '.join(SPELLINGS)} {SECRET.upper()} key={SECRET}"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        how = self.path.split("/")[1]
        if how.isdigit():
            return self.reply(
                int(how), {"error": {"message": self.echo}}, Location=f"http://me:{SECRET}@host/"
            )
        if how == "drop":
            self.close_connection = True
            return None
        bodies = {
            "text": self.echo.encode(),
            "plain": {"detail": self.echo},
            "truncated": ("x" * 60 + SECRET).encode(),
            "empty": {"choices": [], "error": self.echo},
            "reason": {"choices": [{"token_ids": [6], "finish_reason": self.echo}]},
            "short": {"choices": [{"token_ids": [6], "finish_reason": "stop", "text": self.echo}]},
            "list": [self.echo],
        }
        return self.reply(200, bodies[how])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(endpoint.KEY, SECRET)
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.01)
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as running:
        running.daemon_threads = True
        running.handle_error = lambda *_: None
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def check_hidden(text: str) -> None:
    """Neither the key in any spelling, nor its first half, as a cut text would show it."""
    for spelling in (*SPELLINGS, SECRET.upper(), SECRET[: len(SECRET) // 2]):
        assert spelling.lower() not in text.lower(), text


WAYS = ["400", "401", "403", "404", "418", "301", "307", "500", "503", "drop", "text", "plain", "truncated"]
WAYS += ["empty", "reason", "short", "list"]


@pytest.mark.parametrize("how", WAYS)
def test_no_answer_shows_the_key(server, how, caplog):
    caplog.set_level(logging.INFO)
    sampler = open_sampler("pocket", "server", url=f"{server}/{how}/v1", patience=0.05)
    with pytest.raises(EffwbError) as error:
        sampler.generate([[6, 7]], SamplingParams(9), [[0]])
    links = [error.value]
    while (link := links[-1].__cause__ or links[-1].__context__) is not None:
        links.append(link)
    check_hidden("".join(traceback.format_exception(error.value)))
    check_hidden(" ".join(map(repr, links)) + repr(sampler) + repr(vars(sampler)) + caplog.text)
    assert server in str(error.value) or "server" in str(error.value)


def test_a_list_of_models_and_a_version_are_shown_without_the_key(server, few, tmp_path, monkeypatch):
    sampler = open_sampler("pocket", "server", url=f"{server}/400/v1", served_model="nothing")
    with pytest.raises(ConfigError) as error:
        sampler.generate([[6, 7]], SamplingParams(9), [[0]])
    check_hidden(str(error.value))
    sampler = open_sampler("pocket", "server", url=f"{server}/empty/v1")
    with pytest.raises(EffwbError):
        sample(few, sampler, 1, run_dir=tmp_path, sampling=Sampling(max_tokens=8), progress=False)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            check_hidden(file.read_bytes().decode(errors="replace"))


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{SECRET}@host/v1",
        f"http://me:{SPELLINGS[1]}@host/v1",
        f"me:{SECRET}@host:80/v1",
        f"//me:{SECRET}@host",
        f"ftp://me:{SECRET}@h",
    ],
)
def test_a_password_in_the_url_is_not_shown(monkeypatch, url):
    with pytest.raises(ConfigError, match=r"EFFWB_SERVER_KEY|http://host:port/v1") as error:
        open_sampler("pocket", "server", url=url)
    check_hidden(str(error.value))
    monkeypatch.setenv(endpoint.URL, url)
    with pytest.raises(ConfigError) as error:
        open_sampler("pocket", "server").generate([[6]], SamplingParams(2))
    check_hidden(str(error.value))


@pytest.mark.parametrize(
    "proxy",
    [f"http://me:{SPELLINGS[1]}@127.0.0.1:9", f"http://me:{SECRET}@127.0.0.1:9", f"wrong://me:{SECRET}@host"],
)
def test_a_proxy_that_fails_is_named_without_its_password(monkeypatch, proxy):
    monkeypatch.setenv(endpoint.KEY, "another-key")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    sampler = open_sampler("pocket", "server", url="http://elsewhere.invalid/v1", patience=0)
    with pytest.raises(EffwbError) as error:
        sampler.generate([[6]], SamplingParams(2))
    check_hidden("".join(traceback.format_exception(error.value)))


@pytest.mark.long
def test_a_sweep_of_a_notebook_keeps_the_key_out_of_its_files(server, tmp_path):
    cells = [
        'how = "400"  # how the server answers',
        "from effwb import open_sampler\nfrom effwb.samplers import SamplingParams",
        f'sampler = open_sampler("pocket", "server", url=f"{server}/{{how}}/v1", patience=0.05)\n'
        "sampler.generate([[6, 7]], SamplingParams(9), [[0]])",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    book.cells[0].metadata["tags"] = ["parameters"]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "n.ipynb")
    table = sweep.run(tmp_path / "n.ipynb", {"how": ["400", "text"]}, tmp_path / "out", progress=False)
    assert (table["status"] == "failed").all()
    check_hidden(table.to_string())
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(files) > 6
    for file in files:
        check_hidden(file.read_text(errors="replace"))


def test_short_words_stay_and_headers_go(monkeypatch):
    monkeypatch.setenv(endpoint.KEY, "a")
    assert without_key("a banana") == "a banana"
    monkeypatch.delenv(endpoint.KEY)
    for text in ("authorization: Bearer abc.def", '{"Authorization": "Basic YWJj"}', "bearer%20abc.def"):
        hidden = without_key(text)
        assert "***" in hidden
        assert "abc" not in hidden
        assert "YWJj" not in hidden

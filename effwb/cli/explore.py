"""The command `effwb explore`: the explorer in a browser, without JupyterLab."""

from __future__ import annotations

import argparse
import secrets
import socket
import tempfile
import time
import webbrowser
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

from effwb.cli.commands import add_command
from effwb.errors import ConfigError, EngineError, one_of

EXPLORE_EXAMPLES = """\
examples:
  effwb explore data/runs
  effwb explore data/runs --port 9000 --no-browser      prints the address to open
  effwb explore data/runs --runs free low --frontier "best of all runs"

Only this machine can open the page, and only with the token in the printed address. From another machine:
ssh -L 8866:localhost:8866 <machine>, then the same address. Ctrl-C ends it.
"""
PORT = 8866
THEMES = ("light", "dark")


def add_explore(subparsers: Any) -> None:
    """Add the command `effwb explore`."""
    summary = "look at runs in a browser, those under way included"
    add = add_command(subparsers, run_explore, summary, EXPLORE_EXAMPLES).add_argument
    add("root", type=Path, nargs="?", default=Path("data/runs"), help="default: data/runs")
    add("--runs", nargs="+", help="names of the runs that are chosen first")
    add("--frontier", help="the frontier that is chosen first, such as 'best of all runs'")
    add("--port", type=port, default=PORT, help=f"port of the page (default {PORT})")
    add("--theme", default="light", help="light or dark (default light)")
    add("--no-browser", action="store_true", help="print the address only")


def port(text: str) -> int:
    """A port that a user may listen on."""
    if not text.isdigit() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1024 to 65535, got {text!r}")
    return int(text)


def run_explore(args: argparse.Namespace) -> int:
    """Serve the explorer until Ctrl-C."""
    one_of("theme", args.theme, THEMES)
    if find_spec("voila") is None:
        raise EngineError("effwb explore needs Voila, which is not installed: pip install 'effwb[explore]'")
    from effwb.analysis.explorer import explore

    check_port(args.port)
    choice = {"runs": args.runs, "frontier": args.frontier}
    options = {name: value for name, value in choice.items() if value is not None}
    explore(args.root, **options)  # what cannot be shown is refused here, not in the page
    from voila.app import Voila

    token = secrets.token_urlsafe(24)
    address = f"http://localhost:{args.port}/?token={token}"
    with tempfile.TemporaryDirectory(prefix="effwb-explore-") as folder:
        file = write_notebook(Path(folder), args.root, options)
        print(f"{args.root} is shown at {address}\nCtrl-C ends it", flush=True)
        if not args.no_browser:
            Thread(target=open_when_served, args=(args.port, address), daemon=True).start()
        Voila.launch_instance(argv=server_options(file, args.port, args.theme, token))
    return 0


def check_port(number: int) -> None:
    """Raise `ConfigError` if another program listens on a port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("localhost", number))
        except OSError as error:
            message = f"port={number!r} cannot be used ({error.strerror}); give another one"
            raise ConfigError(message) from None


def open_when_served(number: int, address: str) -> None:
    """Open a browser once something listens on a port; give up after a minute."""
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("localhost", number)) == 0:
                webbrowser.open(address)
                return
        time.sleep(0.2)


def write_notebook(folder: Path, root: Path, options: Mapping[str, Any]) -> Path:
    """Write the notebook that the page is made from, and return its path.

    Args:
        folder: Where to write it.
        root: The run root.
        options: Other parameters of `explore`.
    """
    import nbformat

    choice = "".join(f", {name}={value!r}" for name, value in options.items())
    code = f"from effwb import explore\n\nexplore({str(root.resolve())!r}{choice})"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(code)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    file = folder / "effwb.ipynb"
    nbformat.write(notebook, file)
    return file


def server_options(file: Path, number: int, theme: str, token: str) -> list[str]:
    """Return the command line of Voila: for this machine only, and with a token.

    Args:
        file: The notebook.
        number: The port of the page.
        theme: "light" or "dark".
        token: What the address must end with.
    """
    options = [f"--port={number}", f"--theme={theme}", f"--Voila.token={token}", "--no-browser"]
    options += ["--Voila.ip=localhost", "--Voila.port_retries=0", "--Voila.log_level=WARN"]
    return [str(file), *options, "--VoilaConfiguration.show_tracebacks=True"]

"""The wheel: built without a network, installed outside the checkout, and used from an empty folder."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip(
    "setuptools", minversion="77", reason="building needs setuptools 77: pip install -e '.[dev]'"
)
pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
SOURCES = (
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "CHANGELOG.md",
)
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
QUICKSTART = {"n_problems": 7, "n_samples": 2, "efforts": ["low"]}


def call(*command, cwd, **variables):
    """Run a command and return its output. No module and no bytecode of the checkout is in reach."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "EFFWB_DATA")}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build(kind, source, out):
    """Build with the setuptools of this environment; returns the file."""
    out.mkdir()
    call(
        sys.executable,
        "-c",
        BUILD,
        f"build_{kind}",
        out,
        cwd=source,
        PYTHONPATH=os.pathsep.join(site_packages()),
    )
    (file,) = out.iterdir()
    return file


def site_packages():
    """The folders of installed packages; none of them is the checkout."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """A source distribution, made from a copy of the checkout."""
    source = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for folder in ("effwb", "notebooks"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copytree(ROOT / "data", source / "data", ignore=shutil.ignore_patterns("runs"))
    return build("sdist", source, tmp_path_factory.mktemp("out") / "sdist"), source


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel that the source distribution builds."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist[0]) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("wheel", source, folder / "out")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin of a venv that holds the wheel, and the packages of this environment behind it."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    python = venv / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]
    call(*pip, "--no-index", "--no-deps", wheel, cwd=venv.parent)
    (packages,) = venv.glob("lib/*/site-packages")
    (packages / "behind.pth").write_text("\n".join(site_packages()))
    file = call(python, "-c", "import effwb; print(effwb.__file__)", cwd=venv.parent)
    assert Path(file.strip()) == packages / "effwb" / "__init__.py"
    return venv / "bin"


def snapshot(folder):
    return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in folder.rglob("*") if f.is_file()}


def test_the_wheel_holds_what_the_library_reads(wheel, sdist, tmp_path):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, pattern in (("data/pocket", "*"), ("data/frontiers", "*.json"), ("data/published", "*")):
        expected = {f"effwb/_shipped/{folder}/{file.name}" for file in (ROOT / folder).glob(pattern)}
        assert expected
        assert expected <= names
    assert {f"effwb/_shipped/notebooks/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb")} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/")) or "golden" in name]
    assert wheel.stat().st_size < 12e6
    from_checkout = build("wheel", sdist[1], tmp_path / "out")
    assert names == set(zipfile.ZipFile(from_checkout).namelist())


def test_no_address_is_invented(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    header = archive.read(metadata).decode().partition("\n\n")[0]
    assert "Project-URL" not in header
    assert "Home-page" not in header


def test_the_notebooks_run_from_an_empty_folder(installed, tmp_path):
    before = snapshot(installed.parent)
    for folder in (installed.parent, *installed.parent.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o555)
    told = call(installed / "effwb", "init", "work", cwd=tmp_path)
    assert told.endswith("  cd work\n  jupyter lab notebooks/00_quickstart.ipynb\n")
    work = tmp_path / "work"
    assert {f.name for f in work.glob("notebooks/*")} == {f.name for f in ROOT.glob("notebooks/*.ipynb")}

    book = work / "notebooks" / "00_quickstart.ipynb"
    parameters = [word for item in QUICKSTART.items() for word in ("-y", "{}: {}".format(*item))]
    papermill = [installed / "python", "-m", "papermill", "--no-progress-bar", book.name, "out.ipynb"]
    call(*papermill, *parameters, cwd=book.parent)  # where JupyterLab runs it
    assert (work / "data/runs/quickstart/free/probes/DONE").exists()
    assert (work / "figures/00_trained_frontier.html").exists()  # drawn to the frontier of the pocket model

    table = call(installed / "effwb", "reg", "data/runs/quickstart", cwd=work)
    assert "free" in table
    published = "from effwb import Frontier; print(Frontier.published('qwen3-8b').area(16384))"
    assert call(installed / "python", "-c", published, cwd=tmp_path).startswith("9325.558")
    recorded = (work / "data/runs/quickstart/free/config.json").read_text()
    assert '"git_commit": null' in recorded

    assert snapshot(installed.parent) == before
    assert {f.name for f in tmp_path.iterdir()} == {"work"}
    assert {f.name for f in work.iterdir()} == {".effwb.json", "notebooks", "data", "figures"}


def test_the_doctor_knows_the_installation(installed, tmp_path):
    code = "from effwb.cli import doctor; print(doctor.data(), doctor.disk())"
    told = call(installed / "python", "-c", code, cwd=tmp_path)
    assert "_shipped" in told
    assert f"{tmp_path}/data/runs" in told
    assert "broken" not in told

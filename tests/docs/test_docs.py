"""The documents build without a warning, load nothing from other hosts, and agree with the stored results."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("mkdocs", "material", "mkdocstrings")
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src", "video": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: make docs, or pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class _Loads(HTMLParser):
    """Collects the addresses that a page loads by itself, and the files that it links to."""

    def __init__(self):
        super().__init__()
        self.loads, self.links = [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if address := values.get(LOADED.get(tag, "")):
            self.loads.append(address)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])


@pytest.mark.long
def test_pages_load_nothing_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        parser = _Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        local = [address for address in parser.loads if not address.startswith("data:")]
        assert [address for address in local if re.match(r"(https?:)?//", address)] == [], page.name
        if page.name != "404.html":  # that one has addresses from the root of a server
            missing = [a for a in local if not (page.parent / a.partition("?")[0].partition("#")[0]).exists()]
            assert missing == [], page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?https?:", sheet.read_text(encoding="utf-8")), (
            sheet.name
        )


@pytest.mark.long
def test_links_end_in_files_so_that_pages_open_without_a_server(site):
    parser = _Loads()
    parser.feed((site / "index.html").read_text(encoding="utf-8"))
    local = [link.partition("#")[0] for link in parser.links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if link and not (site / link).is_file()] == []


@pytest.mark.long
def test_the_results_have_their_figures(site):
    page = (site / "results.html").read_text(encoding="utf-8")
    assert page.count('class="figure"') == 5
    assert "<!-- figure:" not in page
    assert "assets/plotly.min.js" in page
    assert (site / "assets/plotly.min.js").stat().st_size > 1e6


@pytest.mark.long
def test_the_search_index_can_be_read_without_a_server(site):
    index = (site / "search/search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = ")
    assert "effwb.frontier.reg" in index


def test_the_table_of_results_is_that_of_the_stored_results():
    stored = json.loads((ROOT / "benchmarks/results/pocket_effects.json").read_text())["effects"]
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(.+?)`( †)? \| (\d+) \| ([\d.]+) \| (\d+) \|(?: [^|]*\|){3} (-?[\d.]+) \| [^|]*\|", page, re.M
    )
    expected = [
        (
            row["name"],
            " †" if row["in frontier"] else "",
            str(row["steps"]),
            f"{row['accuracy']:.3f}",
            f"{row['length']:.0f}",
            f"{row['REG']:.1f}",
        )
        for row in stored
    ]
    assert rows == expected
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"what {len(stored)} methods do" in readme


def test_numbers_in_the_text_of_the_results_are_measured_or_settings():
    """The tables are compared with the files of results; this is about what stands around them."""
    from effwb import Frontier, profiles

    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    prose = re.sub(r"<!-- (\w+): made by .*?<!-- /\1 -->|```.*?```", "", page, flags=re.S)
    numbers = set(re.findall(r"(?<![\w.])\d+\.\d+(?!\d)", prose))
    training, area = profiles.profile("pocket").training, Frontier.pocket().area(512)
    clips, level = {str(training.clip_low), "0.28"}, "0.05"  # dler's own clip: benchmarks.pocket_effects
    assert numbers - {"2506.07104"} == {*clips, level, f"{area:.1f}"}


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_the_gap_of_the_quickstart_is_that_of_the_stored_results(name):
    stored = json.loads((ROOT / "benchmarks/results/00_quickstart.json").read_text())["tables"]["reg"]
    row = next(row for row in stored if row["name"] == "free")
    gap = f"{row['REG']:.1f} [{row['REG low']:.1f}, {row['REG high']:.1f}] accuracy x tokens"
    assert gap in (ROOT / name).read_text(encoding="utf-8")


def test_the_effect_in_the_tutorial_is_that_of_the_stored_results():
    stored = json.loads((ROOT / "benchmarks/results/pocket_effects.json").read_text())["effects"]
    row = next(row for row in stored if row["name"] == "kimi weight=0.5")
    ratio = "{:.2f} times the tokens of `vanilla` [{:.2f}, {:.2f}]".format(
        *(row[f"length ratio{end}"] for end in ("", " low", " high"))
    )
    points = "{:.1f} points of accuracy [{:+.1f}, {:+.1f}]".format(
        *(100 * sign * row[f"Δ accuracy{end}"] for sign, end in ((-1, ""), (1, " low"), (1, " high")))
    )
    page = " ".join((ROOT / "docs/tutorial.md").read_text(encoding="utf-8").split())
    assert ratio in page
    assert points in page


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1500


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_local_links_of_a_page_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_each_entry_of_the_log_opens_with_its_conclusion():
    entries = re.split(r"^## ", (ROOT / "LOG.md").read_text(encoding="utf-8"), flags=re.M)[1:]
    assert [e.splitlines()[0] for e in entries if not e.splitlines()[1].startswith("**Conclusion: ")] == []


def test_every_notebook_is_in_the_table():
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    for page in ("README.md", "docs/notebooks.md"):
        listed = set(re.findall(r"^\| `(\d\d_\w+)`", (ROOT / page).read_text(encoding="utf-8"), re.M))
        assert listed == notebooks, page


def _imported_rooms(file: Path) -> set[str]:
    """The rooms of effwb that a file imports, inside of functions too; not those for type checkers only."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "effwb":
            names |= {f"effwb.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("effwb."):
            names.add(node.module)
    return {name.split(".")[1] for name in names}


def test_rooms_import_only_from_their_own_floor_and_below():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    floors, floor = {}, None
    for number, cell in re.findall(r"^\| (?:(\d):[^|]*)? ?\| (`[^|]+`) \|", page, re.M):
        floor = int(number) if number else floor
        floors |= {room.strip("/"): floor for room in re.findall(r"`([\w/]+)`", cell)}
    files = {
        file: file.relative_to(ROOT / "effwb").parts[0].removesuffix(".py")
        for file in (ROOT / "effwb").rglob("*.py")
        if file.parent != ROOT / "effwb" or file.name != "__init__.py"
    }
    assert set(files.values()) == set(floors), "docs/architecture.md lists every room"
    upward = [
        (str(file.relative_to(ROOT)), room)
        for file, own in files.items()
        for room in _imported_rooms(file)
        if room in floors and floors[room] > floors[own]
    ]
    assert upward == []

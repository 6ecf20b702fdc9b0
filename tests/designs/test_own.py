"""Designs of a user's own: found by NAME, class or module; a changed class is not read back."""

import copy
import json
import pickle
import sys
from importlib import reload

import nbformat
import pytest

from effwb import Point, cli, problems, profiles, sweep, train
from effwb.designs import DESIGNS, Kimi, find_design, toy_group
from effwb.designs.decorator import OWN
from effwb.designs.identity import SOURCE, design_identity, same_source
from effwb.designs.source import source_digest
from effwb.errors import ConfigError, DataError, IdentityError
from effwb.recipes import choose
from effwb.sweep.point import SweepPoint
from effwb.training import checks, launch

POCKET = profiles.profile("pocket")
SMALL = {
    "steps": 1,
    "problems_per_round": 2,
    "group_size": 2,
    "save_every": 1,
    "max_tokens": 32,
    "watch": "none",
}
MODULE = '''\
from effwb.designs import Design, design


@design
class Price(Design):
    """A price on length."""

    weight: float = 0.1

    def components(self, group):
        return {"price": self.solved(group) - self.weight * group.length_PG / group.cap}
'''
CHANGED = MODULE.replace("self.solved(group) -", "2 * self.solved(group) -")


@pytest.fixture(autouse=True)
def no_names_left(monkeypatch):
    """Names and search paths of a test end with it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit in the same second would be missed
    before = dict(OWN)
    yield
    OWN.clear()
    OWN.update(before)
    sys.modules.pop("my_designs", None)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder that one works in, with a module of designs that is not on the Python path."""
    (tmp_path / "my_designs.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 8, split="train")


def run_cell(source):
    """Run a cell as IPython does; returns the names it leaves."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_cell(source).raise_error()
    return shell.user_ns


def rewrite(folder, text):
    (folder / "my_designs.py").write_text(text)
    return reload(sys.modules["my_designs"]).Price


# names


def test_the_decorator_makes_a_class_known_by_its_name():
    Price = run_cell(MODULE)["Price"]
    assert Price.NAME == "price"
    assert find_design("price") is Price
    assert Point(Price, {"weight": 0.2}) == Point("price", {"weight": 0.2})
    assert Point(Price, {"weight": 0.2}).name == "price weight=0.2"
    assert Point(Kimi) == Point("kimi")


def test_a_cell_that_is_run_again_replaces_its_class():
    first = run_cell(MODULE)["Price"]
    DESIGNS["price"] = first  # as older notebooks do
    try:
        again = run_cell(CHANGED)["Price"]
        assert find_design("price") is again
        reward = find_design("price")(weight=0.0).reward(toy_group([10, 20], [1, 0], cap=100))
        assert reward["total"].tolist() == [[2.0, 0.0]]
        with pytest.raises(ConfigError, match=r"'price' is another class than this Price.*latest version"):
            Point(first)
    finally:
        del DESIGNS["price"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "@design\nclass Mine:\n    pass",
            r"Mine is a plain class.*`@design` above `class Mine\(Design\):`.*components",
        ),
        (
            "@design\nclass Mine(Design):\n    NAME = 'kimi'",
            "NAME='kimi' is that of a design of effwb.*my_kimi",
        ),
        ("@design\nclass Mine(Design):\n    NAME = 'a b'", "NAME='a b' must consist of letters"),
        (
            "class Mine(Design):\n    weight: float = 0.1\nMine()",
            "declares weight, but lacks the decorator.*@design",
        ),
        ("class Mine(Design):\n    weight: float = 0.1\nMine(weight=1)", "declares weight, but lacks"),
        ("class Mine:\n    pass\nPoint(Mine)", "Mine is a plain class, no subclass of Design; write"),
        ("class Mine:\n    pass\nPoint(Mine())", "Mine is a plain class, no subclass of Design; write"),
        ("class Mine(Design):\n    pass\nPoint(Mine)", "put `@design` above the class"),
    ],
)
def test_a_class_that_is_no_design_is_told_what_to_add(source, message):
    with pytest.raises(ConfigError, match=message):
        run_cell(f"from effwb import Point\nfrom effwb.designs import Design, design\n{source}")


def test_a_point_does_not_take_an_object():
    with pytest.raises(ConfigError, match=r"got an object of 'kimi'; write Point\('kimi', \{...\}\)"):
        Point(Kimi(weight=0.2))


@pytest.mark.parametrize("given", [type("Mine", (), {}), type("Mine", (), {})()])
def test_train_says_what_a_plain_class_lacks(given, easy, tmp_path):
    with pytest.raises(ConfigError, match=r"Mine is a plain class, no subclass of Design; write"):
        train(given, easy, run_dir=tmp_path / "run", profile=POCKET)
    with pytest.raises(ConfigError, match=r"design must be str or Design, got 3"):
        train(3, easy, run_dir=tmp_path / "run", profile=POCKET)


def test_a_design_without_components_is_refused_before_a_model_is_loaded(easy, tmp_path):
    Empty = run_cell(MODULE.replace("def components", "def component"))["Price"]
    with pytest.raises(ConfigError, match=r"price rewards nothing; .*`components\(self, group\)`"):
        train(Empty, easy, run_dir=tmp_path / "run", profile=POCKET, **SMALL)
    assert not (tmp_path / "run").exists()


def test_an_unknown_name_says_how_a_design_of_ones_own_is_called():
    with pytest.raises(ConfigError, match=r"unknown design 'prise'.*once its cell has run.*'module:Class'"):
        find_design("prise")


def test_a_design_of_ones_own_has_the_settings_of_the_profile():
    assert choose(None, "price", POCKET).apply(POCKET.training, {}) == POCKET.training
    assert choose("pocket", "price", POCKET).apply(POCKET.training, {}) == POCKET.training
    with pytest.raises(ConfigError, match=r"unknown design 'price' of recipe='paper': .*has no paper"):
        choose("paper", "price", POCKET)
    assert choose("kimi", "price", POCKET).kind == "paper"


# by module


@pytest.mark.parametrize("place", [".", "notebooks"])
def test_a_module_is_found_in_the_project_from_any_folder_of_it(tmp_path, monkeypatch, place):
    assert cli.main(["init", str(tmp_path)]) == 0
    (tmp_path / place / "my_designs.py").write_text(MODULE)
    (tmp_path / "data" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "data" / "runs")
    assert find_design("my_designs:Price").NAME == "price"
    assert find_design("price") is find_design("my_designs:Price")


def test_a_module_that_is_nowhere_is_refused_with_the_folders(project):
    with pytest.raises(ConfigError, match=rf"'other:Price' cannot be imported.*folders: {project}"):
        find_design("other:Price")


def test_it_is_pickled_by_its_module_and_copied(project):
    mine = find_design("my_designs:Price")(weight=0.25)
    for again in (pickle.loads(pickle.dumps(mine)), copy.deepcopy(mine)):
        assert (type(again), again.parameters()) == (type(mine), mine.parameters())
        assert again.state() == mine.state()
    in_a_cell = run_cell(MODULE)["Price"](weight=0.5)
    assert copy.deepcopy(in_a_cell).weight == 0.5


@pytest.mark.long
def test_a_job_finds_the_module_beside_it(project, capsys):
    training = {k: SMALL[k] for k in ("steps", "problems_per_round", "group_size", "save_every")}
    job = {"design": "my_designs:Price", "problems": "pocket", "n_problems": 4, "max_tokens": 32}
    (project / "job.json").write_text(json.dumps({**job, "run_dir": "run", "training": training}))
    assert cli.main(["train", "job.json"]) == 0
    assert "the model: run/model" in capsys.readouterr().out
    rewrite(project, CHANGED)
    assert cli.main(["train", "job.json"]) == 2
    assert "run belongs to another version of design 'price'" in capsys.readouterr().err


def test_several_processes_need_a_module_and_say_so_at_once(easy, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "subprocess", None)  # nothing may start
    Price = run_cell(MODULE)["Price"]
    with pytest.raises(ConfigError, match=r"defined in this notebook.*from my_designs import Price"):
        train(Price, easy, run_dir=tmp_path / "run", profile=POCKET, processes=2, **SMALL)
    assert not (tmp_path / "run").exists()


# sweeps


@pytest.fixture
def notebook(tmp_path):
    """A notebook that needs no model: its result is the reward of its design."""
    cells = [
        'profile = "pocket"  # scale\ndesign = "kimi"  # any\nrun_root = "runs"  # where it writes',
        "from effwb import notebook\nfrom effwb.designs import fit_design, toy_group\n"
        "notebook.check_parameters()\n"
        "reward = fit_design(design, 100).reward(toy_group([10, 20], [1, 0], cap=100))['total']\n"
        "notebook.results({'reward': float(reward[0, 0])}, run_root + '.json')",
    ]
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    content.cells[0].metadata["tags"] = ["parameters"]
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(content, tmp_path / "book.ipynb")
    return tmp_path / "book.ipynb"


@pytest.mark.long
def test_a_sweep_trains_a_design_of_a_module_and_notices_when_it_changes(project, notebook):
    axes = {"design": ["my_designs:Price"]}
    table = sweep.run(notebook, axes, "out", progress=False)
    assert table["status"].tolist() == ["done"]
    assert table["reward"].tolist() == [pytest.approx(1 - 0.1 * 10 / 100)]
    rewrite(
        project,
        MODULE.replace("A price", "The price").replace("weight: float", "# a comment\n    weight: float"),
    )
    assert sweep.run(notebook, axes, "out", progress=False)["status"].tolist() == ["done"]
    rewrite(project, CHANGED)
    with pytest.raises(IdentityError, match=r"another version of design 'my_designs:Price'"):
        sweep.run(notebook, axes, "out", progress=False)


def test_a_finished_point_from_before_the_source_was_recorded_stays_as_it_is(tmp_path):
    older = {"parameters": {"design": "my_designs:Price"}}
    (tmp_path / "point").mkdir()
    point = SweepPoint(tmp_path / "point")
    point.write_config(older, {"snapshot": "book.ipynb"})
    point.finish(1.0)
    point.write_config({**older, SOURCE: "0123456789ab"}, {"snapshot": "book.ipynb"})
    assert point.is_done()
    assert point.identity == older


def test_a_sweep_refuses_a_design_that_only_this_process_knows(project, notebook):
    run_cell(MODULE)
    with pytest.raises(ConfigError, match=r"point design=price: Price is defined in this notebook"):
        sweep.run(notebook, {"design": ["kimi", "price"]}, "out")
    find_design("my_designs:Price")
    with pytest.raises(ConfigError, match=r"point design=price: .*write design='my_designs:Price'"):
        sweep.run(notebook, {"design": ["kimi", "price"]}, "out")


# the source as part of the identity


def test_comments_and_docstrings_do_not_change_the_source_and_code_does():
    same = MODULE.replace("A price", "The price").replace(
        "    weight: float", "\n    # how much\n    weight: float"
    )
    first, other, changed = (run_cell(text)["Price"] for text in (MODULE, same, CHANGED))
    assert source_digest(first) == source_digest(other) is not None
    assert source_digest(changed) != source_digest(first)
    assert {SOURCE: source_digest(first)}.items() <= design_identity(first()).items()


def test_the_source_counts_the_bases_that_are_not_effwbs(project):
    find_design("my_designs:Price")
    imports = "from my_designs import Price\nfrom effwb.designs import design"
    child = f"{imports}\n@design\nclass Child(Price):\n    pass"
    first = source_digest(run_cell(child)["Child"])
    rewrite(project, CHANGED)
    assert source_digest(run_cell(child)["Child"]) != first


def test_a_class_in_memory_keeps_the_source_it_was_made_from(project):
    Price = find_design("my_designs:Price")
    first = source_digest(Price)
    (project / "my_designs.py").write_text(CHANGED)  # and not imported again
    assert source_digest(Price) == first
    assert source_digest(reload(sys.modules["my_designs"]).Price) != first


def test_a_class_without_the_decorator_has_a_source_too(project):
    (project / "my_designs.py").write_text(
        "from effwb.designs import Kimi\nclass Mine(Kimi):\n    NAME = 'mine'\n"
    )
    assert source_digest(find_design("my_designs:Mine")) is not None


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_of_effwb_have_no_source_in_their_identity(name):
    assert source_digest(DESIGNS[name]) is None


@pytest.mark.long
def test_a_changed_class_is_not_read_back(easy, tmp_path):
    options = {"run_dir": tmp_path / "run", "profile": POCKET, **SMALL}
    first = train(run_cell(MODULE)["Price"], easy, **options).metrics
    again = train(run_cell(MODULE)["Price"], easy, **options).metrics
    assert again.equals(first)
    with pytest.raises(
        IdentityError, match=r"another version of design 'price': its class has changed.*or delete"
    ):
        train(run_cell(CHANGED)["Price"], easy, **options)
    namesake = run_cell("from effwb.designs import Kimi\nclass Sub(Kimi):\n    pass")["Sub"]
    with pytest.raises(IdentityError, match=r"design"):
        train(namesake(cap=32), easy, **options)


def test_a_class_may_change_until_there_is_data(easy, tmp_path, monkeypatch):
    """A run that ended before its first checkpoint begins anew with the corrected class."""
    from effwb.training.run import TrainingRun

    monkeypatch.setattr(TrainingRun, "execute", lambda *_: (_ for _ in ()).throw(DataError("an end")))
    options = {"run_dir": tmp_path / "run", "profile": POCKET, **SMALL}
    for text in (MODULE, CHANGED):
        with pytest.raises(DataError, match=r"an end"):
            train(run_cell(text)["Price"], easy, **options)


def test_runs_from_before_the_source_was_recorded_are_read_back(tmp_path):
    identity = design_identity(run_cell(MODULE)["Price"]())
    older = {key: value for key, value in identity.items() if key != SOURCE}
    assert same_source(older, identity, "price", tmp_path) == older
    assert same_source({}, identity, "price", tmp_path) == identity
    with pytest.raises(IdentityError, match=r"belongs to effwb's design 'kimi', not to your class"):
        same_source(older, identity, "kimi", tmp_path)


def test_the_check_of_components_lets_every_design_pass():
    for cls in DESIGNS.values():
        checks._check_own(cls(cap=512))

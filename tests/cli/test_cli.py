"""The command line: quick to start, clear where it refuses, and a thin layer over the library."""

import subprocess
import sys

import nbformat
import pandas as pd
import pytest

from effwb.cli import doctor, main
from effwb.runs import RunDir, write_parquet

CELLS = ("number = 0  # to be squared\nwords = []  # a list", "from effwb import notebook")


@pytest.fixture
def tiny(tmp_path):
    source = f'notebook.results({{"square": number**2}}, "{tmp_path}/results.json")'
    cells = [nbformat.v4.new_code_cell(text) for text in (*CELLS, source)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "n.ipynb"
    )
    return str(tmp_path / "n.ipynb")


def test_nothing_heavy_is_imported_for_the_help():
    heavy = "{'torch', 'transformers', 'pandas', 'numpy', 'papermill', 'pydantic', 'yaml'}"
    code = f"import effwb.cli, sys\nprint({heavy} & set(sys.modules))\neffwb.cli.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("set()\nusage: effwb")


@pytest.mark.parametrize("command", ["sweep", "eval", "reg", "regrade"])
def test_every_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"examples:\n  effwb {command} " in capsys.readouterr().out


def test_a_sweep_and_its_state(tiny, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["sweep", tiny, "-a", "number=2,3", "-p", "words=[a]", "-o", str(out)]) == 0
    assert pd.read_csv(out / "table.csv")["square"].tolist() == [4, 9]
    first = capsys.readouterr().out
    assert main(["sweep", "-o", str(out)]) == 0
    assert capsys.readouterr().out.strip() in first


def test_a_sweep_from_a_file_with_some_of_it_replaced(tiny, tmp_path):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(f"notebook: {tiny}\naxes: {{number: [1, 2]}}\nfixed: {{words: [a]}}\nout: {out}\n")
    assert main(["sweep", str(file), "-a", "number=5"]) == 0
    table = pd.read_csv(out / "table.csv")
    assert table[["number", "words", "square"]].to_numpy().tolist() == [[5, "['a']", 25]]


def test_a_failed_point_is_seen_in_the_exit_status(tmp_path, tiny):
    notebook = nbformat.read(tiny, as_version=4)
    notebook.cells[1].source = "raise ValueError('no')"
    nbformat.write(notebook, tiny)
    assert main(["sweep", tiny, "-a", "number=1", "-o", str(tmp_path / "out")]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-a", "nmber=1", "-o", "x"], "effwb sweep: unknown notebook parameter 'nmber'"),
        (["-a", "number=one", "-o", "x"], "number must be int like its default 0, got str 'one'"),
        (["-a", "number", "-o", "x"], "'number' is not NAME=VALUE"),
        (["-a", "number=1", "-p", "words=a,b", "-o", "x"], "-p words takes one value, got ['a', 'b']"),
        (["-a", "number=1"], "missing output directory: pass -o data/runs"),
        (["-o", "x"], "at least one axis: pass -a NAME=V1,V2"),
        (["-a", "number=1", "-o", "x", "--frontier", "qwen3-8"], "unknown --frontier 'qwen3-8'"),
        (["-a", "number=1", "-o", "x", "--frontier", "no.json"], "no frontier file no.json"),
        (["-a", "number=1", "-o", "x", "-j", "0"], "jobs must be a whole number from 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(tiny, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", tiny, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_evaluate_compare_and_grade_again(tmp_path, capsys):
    runs = tmp_path / "runs"
    small = ["--n-problems", "7", "--n-samples", "2", "--max-tokens", "96"]
    assert main(["eval", "-o", str(runs / "free"), *small]) == 0
    assert main(["eval", "-o", str(runs / "low"), *small, "--effort", "low"]) == 0
    assert "7 problems x 2 samples, pocket" in capsys.readouterr().out

    assert main(["reg", str(runs), "--csv", str(tmp_path / "reg.csv")]) == 0
    assert "REG to 96 tokens against frontier of 2 curves" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "reg.csv")
    assert table["name"].tolist() == ["free", "low"]
    assert (table["REG"] >= 0).all()
    assert main(["reg", str(runs), "--frontier", "qwen3-8"]) == 2
    assert "Did you mean 'qwen3-8b'?" in capsys.readouterr().err

    assert main(["regrade", str(runs / "free")]) == 0
    assert "0 of 14 verdicts changed" in capsys.readouterr().out
    shard = RunDir(runs / "free").shard("rollouts", 0)
    frame = pd.read_parquet(shard)
    frame.loc[0, "verdict"] = "timeout"
    write_parquet(shard, frame)
    assert main(["regrade", str(runs / "free"), "--csv", str(tmp_path / "changed.csv")]) == 0
    assert "1 of 14 verdicts changed" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "changed.csv")["verdict stored"].tolist() == ["timeout"]
    assert pd.read_parquet(shard)["verdict"][0] == "timeout"


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("server", "no answer from the server at http://127.0.0.1:9/v1"),
        ("transformers", "unknown option of engine 'transformers' 'url'"),
    ],
)
def test_the_url_belongs_to_the_engine_server(tmp_path, capsys, engine, message):
    arguments = ["eval", "-o", str(tmp_path / "run"), "--engine", engine, "--url", "http://127.0.0.1:9"]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_nothing_to_compare(tmp_path, capsys):
    assert main(["reg", str(tmp_path)]) == 2
    assert "no finished evaluation below" in capsys.readouterr().err


# doctor


def test_the_doctor_is_content_here(monkeypatch, capsys):
    absent = doctor.Check("vLLM", "missing", "not installed", "install it")
    monkeypatch.setattr(doctor, "vllm", lambda: absent)
    code, out = main(["doctor"]), capsys.readouterr().out
    assert code == 0, out
    for name in ("Python", "packages", "Jupyter kernel", "GPU", "PDF, SVG, PNG"):
        assert name in out
    assert "missing  vLLM              not installed\n" + " " * 27 + "-> install it\n" in out


def test_the_doctor_names_a_package_that_does_not_fit(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: {"torch": "1.0", "trl": None}.get(name, "5.11"))
    unmet = {check.name: check for check in doctor.packages()}
    assert unmet["torch"].detail == "1.0, needed ==2.13.0"
    assert unmet["torch"].fix == "pip install 'torch==2.13.0'"
    assert unmet["trl"].detail.startswith("not installed")
    assert {check.state for check in unmet.values()} == {"broken"}


def test_the_doctor_says_what_a_missing_browser_costs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    check = doctor.images()
    assert check.state == "missing"
    assert "effwb[figures]" in check.fix
    assert "apt-get install chromium" in check.fix


def test_the_doctor_sees_a_torch_without_cuda(monkeypatch):
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert doctor.gpu().state == "broken"
    assert "2, but torch" in doctor.gpu().detail
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert doctor.gpu().state == "missing"


def test_the_doctor_sees_a_vllm_that_does_not_import(monkeypatch, tmp_path):
    (tmp_path / "vllm.py").write_text("raise ImportError('libcudart.so.12 is not there')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor.vllm()
    assert check.state == "broken"
    assert "libcudart.so.12" in check.detail

"""Training on two processes: the same advantages and checks as on one, and nothing is lost by a kill."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from effwb import cli, problems, profiles
from effwb.designs import LengthGroupNorm
from effwb.errors import ConfigError, IdentityError, TrainingError
from effwb.training import launch, train
from effwb.training.job import run_job

POCKET = profiles.profile("pocket")
SMALL = dict(steps=2, problems_per_round=3, group_size=4, micro_batch=6, save_every=1, learning_rate=3e-4)


def recording(with_kl_in_reward):
    """The trainer's method, with a KL that depends on the tokens alone; it saves the advantages."""

    def record(self, batch, kl):
        kl = batch["completion_ids"] % 7 * 0.3 * batch["completion_mask"]
        out = with_kl_in_reward(self, batch, kl.double())
        lengths = batch["completion_mask"].sum(1).tolist()
        rows = [row[:n].numpy() for row, n in zip(out["advantages"], lengths, strict=True)]
        file = Path(os.environ["RECORD_DIR"]) / f"tokens-{os.environ.get('RANK', '0')}.npz"
        np.savez(file, *rows)
        return out

    return record


class RecordingDesign(LengthGroupNorm):
    """Saves the advantages of every step, for each process."""

    def observe(self, group):
        if "RANK" in os.environ and self.whiten:  # a process of a launch; it takes only one step
            from effwb.training.trainer import GroupTrainer

            GroupTrainer._with_kl_in_reward = recording(GroupTrainer._with_kl_in_reward)
        rank, step = os.environ.get("RANK", "0"), time.monotonic_ns()
        np.savez(
            Path(os.environ["RECORD_DIR"]) / f"{rank}-{step}.npz",
            advantage=self.advantage(group),
            length=group.length_PG,
        )
        super().observe(group)


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


def run(design, easy, folder, **options):
    return train(
        design, easy, run_dir=folder, profile=POCKET, max_tokens=96, watch="none", **{**SMALL, **options}
    )


def recorded_steps(folder, rank=0):
    """What a process saved, in the order of its steps."""
    return [
        np.load(file) for file in sorted(folder.glob(f"{rank}-*"), key=lambda f: int(f.stem.split("-")[1]))
    ]


@pytest.mark.long
def test_two_processes_have_the_advantages_of_one(easy, tmp_path, monkeypatch):
    """Three groups of four on two processes: the second group lies on both."""
    results = {}
    for name, options in (("one", {}), ("two", {"processes": 2})):
        (tmp_path / f"recorded-{name}").mkdir()
        monkeypatch.setenv("RECORD_DIR", str(tmp_path / f"recorded-{name}"))
        results[name] = run(RecordingDesign(), easy, tmp_path / name, **options).metrics
    first = [
        recorded_steps(tmp_path / where, rank)[0]
        for where, rank in (("recorded-one", 0), ("recorded-two", 0), ("recorded-two", 1))
    ]
    for other in first[1:]:
        assert (other["length"] == first[0]["length"]).all()
        assert (other["advantage"] == first[0]["advantage"]).all()
    one_process, two_processes = results["one"], results["two"]
    for name in ("accuracy", "length/mean", "reward/total", "spread", "zero_variance", "tokens"):
        assert one_process[name].iloc[0] == pytest.approx(two_processes[name].iloc[0], rel=1e-9), name
    assert one_process["grad_norm"].iloc[0] == pytest.approx(two_processes["grad_norm"].iloc[0], rel=1e-3)
    assert two_processes["step"].tolist() == [1, 2]
    again = run(
        RecordingDesign(), easy, tmp_path / "two"
    )  # the number of processes is no part of the identity
    assert again.metrics.equals(two_processes)


@pytest.mark.long
def test_two_processes_whiten_over_the_tokens_of_both(easy, tmp_path, monkeypatch):
    """With the KL in the reward."""
    from effwb.training.trainer import GroupTrainer

    monkeypatch.setattr(GroupTrainer, "_with_kl_in_reward", recording(GroupTrainer._with_kl_in_reward))
    metrics, rows = {}, {}
    for name, processes in (("one", 1), ("two", 2)):
        (tmp_path / f"recorded-{name}").mkdir()
        monkeypatch.setenv("RECORD_DIR", str(tmp_path / f"recorded-{name}"))
        settings = dict(steps=1, kl=0.1, kl_place="reward", processes=processes)
        metrics[name] = run(RecordingDesign(whiten=True), easy, tmp_path / name, **settings).metrics.iloc[0]
        files = [np.load(tmp_path / f"recorded-{name}" / f"tokens-{rank}.npz") for rank in range(processes)]
        rows[name] = [file[key] for file in files for key in file.files]
    assert len(rows["one"]) == len(rows["two"]) == 12
    for one, two in zip(rows["one"], rows["two"], strict=True):
        assert one == pytest.approx(two, abs=1e-6)
    tokens = np.concatenate(rows["two"])
    assert (tokens.mean(), tokens.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))
    assert metrics["one"]["kl"] == pytest.approx(metrics["two"]["kl"], rel=1e-9)
    assert metrics["one"]["grad_norm"] == pytest.approx(metrics["two"]["grad_norm"], rel=1e-3)


@pytest.mark.long
def test_a_killed_process_ends_the_others_and_the_run_continues(easy, tmp_path, capsys):
    folder = tmp_path / "run"

    def kill_a_rank():
        while not list(folder.glob("train/checkpoints/checkpoint-*/effwb.json")):
            time.sleep(0.02)
        ranks = [p for p in psutil.Process().children(recursive=True) if "--child" in p.cmdline()]
        os.kill(ranks[-1].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_a_rank)
    killer.start()
    with pytest.raises(TrainingError, match=r"finished checkpoints are kept.*launch\.log"):
        run("lead", easy, folder, steps=12, processes=2)
    killer.join()
    assert not [p for p in psutil.Process().children(recursive=True) if "--child" in " ".join(p.cmdline())]
    done = len((folder / "train" / "metrics.jsonl").read_text().splitlines())
    assert 1 <= done < 12
    finished = run("lead", easy, folder, steps=12, processes=2)
    assert finished.metrics["step"].tolist() == list(range(1, 13))
    assert Path(finished.model, "model.safetensors").exists()


def test_bad_settings_are_refused_before_a_process_starts(easy, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "subprocess", None)  # nothing may start
    with pytest.raises(ConfigError, match="do not divide into micro_batch=2 on 5 processes"):
        run("vanilla", easy, tmp_path / "five", processes=5)
    with pytest.raises(ConfigError, match="processes=0 must be at least 1"):
        run("vanilla", easy, tmp_path / "none", processes=0)
    with pytest.raises(ConfigError, match="is no file; accelerate config"):
        run("vanilla", easy, tmp_path / "config", processes=2, accelerate_config="nowhere.yaml")
    (tmp_path / "other" / "train").mkdir(parents=True)
    run("vanilla", easy, tmp_path / "other", steps=1, save_every=1)
    with pytest.raises(IdentityError, match="steps"):
        run("vanilla", easy, tmp_path / "other", steps=2, processes=2)


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr("accelerate.commands.config.config_args.default_config_file", str(tmp_path / "mine"))
    settings = POCKET.training.override(processes=4)
    plain = launch.command(tmp_path / "config.json", settings)
    assert plain[3:9] == ["--multi_gpu", "--num_machines", "1", "--main_process_port", "0", "--num_processes"]
    (tmp_path / "mine").touch()  # the user's own: nothing overrides it
    assert "--multi_gpu" not in launch.command(tmp_path / "config.json", settings)
    chosen = settings.override(accelerate_config=str(tmp_path / "mine"))
    assert launch.command(tmp_path / "config.json", chosen)[3:5] == ["--config_file", str(tmp_path / "mine")]


class TestJob:
    def job(self, folder, **changes):
        folder.mkdir(exist_ok=True)
        path = folder / "config.json"
        training = {**SMALL, "steps": 1}
        written = {"design": "kimi", "problems": "pocket", "n_problems": 16, "max_tokens": 96}
        path.write_text(
            json.dumps({**written, "run_dir": str(folder / "run"), "training": training, **changes})
        )
        return path

    def test_it_is_the_run_of_train(self, easy, tmp_path, capsys):
        path = self.job(tmp_path / "job", design_params={"weight": 0.25})
        assert cli.main(["train", str(path)]) == 0
        assert "step 1 of 1" in (out := capsys.readouterr().out)
        assert out.endswith(f"the model: {tmp_path / 'job/run/model'}\n")
        same = run("kimi", easy, tmp_path / "job/run", steps=1, design_params={"weight": 0.25})
        assert len(same.metrics) == 1  # read back: the identity is the same

    def test_it_trains_on_the_problems_of_the_notebooks(self, tmp_path):
        from effwb.training import load_train_and_eval
        from effwb.training.job import _problems

        for source in ("pocket", "reasoning-gym:chain_sum"):
            train_problems, eval_problems = load_train_and_eval(
                profiles.profile("pocket", problems=source, n_problems=20), 16
            )
            ids = _problems(source, tmp_path, 16)["problem_id"][:]
            assert ids == train_problems["problem_id"][:]
            assert not set(ids) & set(eval_problems["problem_id"])

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"desing": "kimi"}, "unknown key in .*desing.*Did you mean 'design'"),
            ({"design": "kimmi"}, "unknown design 'kimmi'"),
            ({"profile": "pockett"}, "unknown profile"),
            ({"training": {"stepps": 1}}, "unknown training field 'stepps'"),
            ({"problems": "nowhere.jsonl"}, "unknown problem source|no problem file"),
        ],
    )
    def test_bad_values(self, tmp_path, changes, error):
        with pytest.raises(Exception, match=error):
            run_job(self.job(tmp_path / "job", **changes))

    def test_bad_files(self, tmp_path):
        path = tmp_path / "config.json"
        with pytest.raises(ConfigError, match="cannot read"):
            run_job(path)
        path.write_text("{")
        with pytest.raises(ConfigError, match="not valid JSON"):
            run_job(path)
        path.write_text('{"design": "kimi"}')
        with pytest.raises(ConfigError, match="lacks problems, run_dir"):
            run_job(path)

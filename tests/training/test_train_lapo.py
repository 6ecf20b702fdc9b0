"""LAPO on the pocket model: two stages, prompts that depend on what was seen, resumed runs, bad input."""

import json

import numpy as np
import pytest

from effwb import problems
from effwb.designs import fit_design
from effwb.errors import ConfigError, DataError
from effwb.training import Stage, preview, spread, train_stages
from tests.training.test_train import POCKET, small, weights

STAGES = [
    Stage("discover", "lapo_discovery", max_tokens=96),
    Stage("internalize", "lapo_internalization", max_tokens=96, carry_state=True),
]
EPOCH = dict(steps=4, problems_per_round=4, save_every=2, micro_batch=16)  # all sixteen once


@pytest.fixture(scope="module")
def easy():
    """Sixteen training problems."""
    return problems.load("pocket", 16, split="train")


def known(easy, n=40.0):
    return {"design": "lapo_discovery", "lengths": dict.fromkeys(easy["problem_id"], n)}


@pytest.fixture(scope="module")
def plan(easy, tmp_path_factory):
    return staged(easy, tmp_path_factory.mktemp("plan"))


def staged(easy, folder):
    return train_stages(STAGES, easy, run_dir=folder, profile=POCKET, group_size=4, watch="none", **EPOCH)


@pytest.mark.long
class TestStages:
    def test_the_second_begins_with_what_the_first_found(self, plan, easy):
        first, second = plan.results
        first_lengths, second_lengths = first.state["lengths"], second.state["lengths"]
        assert set(first_lengths) == set(second_lengths) == set(easy["problem_id"])
        assert any(first_lengths.values())
        for pid, n in first_lengths.items():
            assert second_lengths[pid] is None or n is None or second_lengths[pid] <= n
        assert plan.metrics["stage"].tolist() == [0] * 4 + [1] * 4
        assert np.isfinite(plan.metrics[["loss", "grad_norm", "reward/length"]]).all(axis=None)
        identity = json.loads((second.run_dir / "config.json").read_text())["train"]["identity"]
        assert identity["design"]["name"] == "lapo_internalization"
        assert identity["model"] == "0-discover"

    def test_a_finished_plan_is_read_back(self, plan, easy):
        assert staged(easy, plan.results[0].run_dir.parent).metrics.equals(plan.metrics)

    def test_prompts_say_what_is_known_at_that_round(self, easy, tmp_path, monkeypatch):
        from effwb.training.rounds import Collector

        visits = []
        collect = Collector.collect

        def spy(self, trainer, number):
            lengths, rollouts = self.design.state()["lengths"], collect(self, trainer, number)
            batch = rollouts.prompts
            ids = [easy["problem_id"][row] for row in batch.rows_P]
            texts = [trainer.processing_class.decode(ids).replace(" ", "") for ids in batch.prompt_ids_P]
            visits.append((ids, [lengths[pid] for pid in ids], batch.hint_tokens_P.tolist(), texts))
            return rollouts

        monkeypatch.setattr(Collector, "collect", spy)
        twice = {**EPOCH, "steps": 8}
        result = small("lapo_internalization", easy, tmp_path / "r", state=known(easy, None), **twice)
        assert [len(ids) for ids, *_ in visits] == [4] * 8
        for _, lengths, hints, texts in visits:
            assert hints == [96 if n is None else int(n) for n in lengths]
            for n, text in zip(hints, texts, strict=True):
                assert text.endswith(f"<think>Iwillanswerthequestionwith{n}tokens.\n")
        assert all(n == 96 for _, _, hints, _ in visits[:4] for n in hints), "the first visit, all unsolved"
        assert any(n < 96 for _, _, hints, _ in visits[4:] for n in hints), "the second follows the first"
        assert min(n for n in result.state["lengths"].values() if n) < 96

    def test_refill_asks_the_new_problems_for_their_own_length(self, easy, tmp_path, monkeypatch):
        from effwb.training.rounds import Collector

        state = known(easy)
        state["lengths"] = {pid: 20.0 + k for k, pid in enumerate(easy["problem_id"])}
        visits = []
        collect = Collector.collect

        def spy(self, trainer, number):
            lengths, rollouts = self.design.state()["lengths"], collect(self, trainer, number)
            ids = [easy["problem_id"][row] for row in rollouts.prompts.rows_P]
            hints = rollouts.prompts.hint_tokens_P.tolist()
            visits.append((rollouts.refilled, [int(lengths[p]) for p in ids], hints))
            return rollouts

        monkeypatch.setattr(Collector, "collect", spy)
        small(
            "lapo_internalization", easy, tmp_path / "r", state=state,
            steps=3, save_every=3, max_tokens=32, group_size=2, micro_batch=4, refill_rounds=4,
        )  # fmt: skip
        assert sum(refilled for refilled, _, _ in visits) > 0
        assert all(lengths == hints for _, lengths, hints in visits)

    def test_preview(self, easy, pocket, tmp_path):
        profile, design = POCKET.override(max_tokens=96), fit_design("lapo_internalization", 96)
        where = dict(run_dir=tmp_path / "p", n_problems=4, progress=False)
        with pytest.raises(ConfigError, match="no length is known for 4 of 4 problems"):
            preview(design, easy, pocket, profile, **where)
        design.load_state(known(easy))
        table = preview(design, easy, pocket, profile, **where)
        assert (table["hint_tokens"] == 40).all()
        assert spread(table)["without spread"] < 1


SNIPPET = """
from effwb import problems, profiles
from effwb.training import train
easy = problems.load("pocket", 16, split="train")
state = {{"design": "lapo_discovery", "lengths": dict.fromkeys(easy["problem_id"], None)}}
train("lapo_internalization", easy.select(range(4)), run_dir={run!r}, profile=profiles.profile("pocket"),
      state=state, steps=6, problems_per_round=2, group_size=4, micro_batch=8, max_tokens=96, save_every=2,
      watch="none")
"""


@pytest.mark.long
def test_a_killed_run_asks_what_the_uninterrupted_one_asks(easy, tmp_path, run_until_killed):
    """Four problems, two per round: from the third round on every prompt depends on an earlier round."""
    options = dict(state=known(easy, None), steps=6, save_every=2)
    few, run = easy.select(range(4)), tmp_path / "r"
    whole = small("lapo_internalization", few, tmp_path / "whole", **options)
    sign = run / "train/checkpoints/checkpoint-4/effwb.json"
    assert run_until_killed(SNIPPET.format(run=str(run)), sign.exists), "it ended before the kill"
    resumed = small("lapo_internalization", few, run, **options)
    assert resumed.state == whole.state != known(easy, None)
    for name, value in weights(whole).items():
        assert np.array_equal(value, weights(resumed)[name]), name


class TestBadInput:
    def test_without_a_state(self, easy, tmp_path):
        with pytest.raises(
            ConfigError, match=r"no length is known for 16 of 16 problems.*lapo_discovery leaves"
        ):
            small("lapo_internalization", easy, tmp_path / "r")
        assert not (tmp_path / "r").exists()

    def test_a_problem_that_stage_one_did_not_visit(self, easy, tmp_path):
        with pytest.raises(ConfigError, match=r"no length is known for 12 of 16 problems"):
            small("lapo_internalization", easy, tmp_path / "r", state=known(easy.select(range(4))))
        assert not (tmp_path / "r").exists()

    def test_the_state_of_another_design(self, easy, tmp_path):
        with pytest.raises(DataError, match="state of design 'hapo'"):
            small("lapo_internalization", easy, tmp_path / "r", state={"design": "hapo", "minima": {}})

    def test_a_template_that_opens_no_thinking(self, easy, pocket, tmp_path):
        import shutil

        from effwb._internal.paths import data_dir

        shut = tmp_path / "shut"
        shutil.copytree(data_dir("pocket"), shut)
        template = shut / "chat_template.jinja"
        template.write_text(template.read_text().replace("<|assistant|><think>", "<|assistant|>"))
        with pytest.raises(ConfigError, match="needs a chat template that ends by opening <think>"):
            small("lapo_internalization", easy, tmp_path / "r", model=str(shut), state=known(easy))

    def test_a_prompt_that_the_sentence_makes_too_long(self, easy, tmp_path):
        from effwb.training.run import TrainingRun

        longest_hints = []
        for n in (1700.0, None):  # digits and the rest of the sentence come on top of the longest prompt
            design = fit_design("lapo_internalization", 1900)
            design.load_state(known(easy, n))
            longest_hints.append(design.longest_hint())
        assert longest_hints == [1900, 1900]
        plain = TrainingRun(
            fit_design("lapo_discovery", 96), easy, "pocket", tmp_path, POCKET,
            POCKET.training.override(problems_per_round=2), 96, 0, None, None, None, 5.0,
        )  # fmt: skip
        room = 2048 - 64 - plain.longest_prompt
        small("lapo_discovery", easy, tmp_path / "fits", max_tokens=room, steps=1, save_every=1)
        with pytest.raises(ConfigError, match="exceeds the model's context of 2048"):
            small("lapo_internalization", easy, tmp_path / "r", max_tokens=room, state=known(easy))

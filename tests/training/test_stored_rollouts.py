"""`sft`, `simpo`, `dpo` and `o1_pruner` on the pocket model: the losses, resuming, LoRA, two processes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from effwb import models, problems, profiles, prompts
from effwb.errors import ConfigError, DataError, IdentityError
from effwb.rollouts import sample
from effwb.training import dpo, o1_pruner, pairs, sft, simpo
from effwb.training.completion_logps import padded
from effwb.training.offline_losses import o1_pruner_loss
from tests.training.reference_losses import dpo_loss, simpo_loss

POCKET = profiles.profile("pocket")
LOSSES = {"sft": sft, "simpo": simpo, "dpo": dpo, "o1_pruner": o1_pruner}
RULES = {"sft": pairs.shortest_correct, "simpo": pairs.shortest, "dpo": pairs.shortest}
RULES["o1_pruner"] = pairs.o1_pruner
SMALL = dict(profile=POCKET, batch_size=6, learning_rate=1e-3, max_grad_norm=1e9, save_every=1, watch="none")


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


@pytest.fixture(scope="module")
def pool(easy, pocket, tmp_path_factory):
    options = dict(sampling=POCKET.sampling(max_tokens=64), prompting=POCKET.prompting(), progress=False)
    return sample(easy, pocket, 4, run_dir=tmp_path_factory.mktemp("pool"), **options)


@pytest.fixture(scope="module")
def tables(pool):
    """What each loss learns from, eight rows at most."""
    chosen = {loss: rule(pool).with_tokens(pool).head(8) for loss, rule in RULES.items()}
    assert all(len(table) >= 7 for table in chosen.values())
    return chosen


@pytest.fixture(scope="module")
def whole(tables, easy, tmp_path_factory):
    """A run of each loss that nobody stopped: two epochs of two updates."""
    root = tmp_path_factory.mktemp("whole")
    return {n: f(tables[n], easy, run_dir=root / n, epochs=2, **SMALL) for n, f in LOSSES.items()}


def weights(result):
    return Path(result.model, "model.safetensors").read_bytes()


def logps(easy, table, column, model="pocket"):
    """(sum of the log-probabilities, tokens) of each completion, by a plain forward pass one at a time."""
    source = models.locate(model)
    tokenizer, net = models.load_tokenizer(source), models.load_model(source, "float32", "cpu").eval()
    questions = dict(zip(easy["problem_id"], easy["question"], strict=True))
    sums = []
    for pid, completion in zip(table["problem_id"], table[column], strict=True):
        prompt = prompts.render(tokenizer, questions[pid], prompts.template("pocket"))[1]
        ids = torch.tensor([[*prompt, *map(int, completion)]])
        with torch.no_grad():
            out = net(ids).logits[0, :-1].log_softmax(-1)
        sums.append(float(out.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum()))
    return np.array(sums), np.array([len(c) for c in table[column]])


# ------------------------------------------------------------------------------------------- the losses
class TestLosses:
    """The first loss of a run is that of the paper's equation at the starting model."""

    def first(self, name, table, easy, folder, **settings):
        options = {**SMALL, "batch_size": len(table), **settings}
        return LOSSES[name](table, easy, run_dir=folder, **options).metrics.iloc[0]

    def test_sft_is_the_mean_over_the_tokens_of_the_completions(self, tables, easy, tmp_path):
        sums, tokens = logps(easy, tables["sft"], "completion_ids")
        row = self.first("sft", tables["sft"], easy, tmp_path)
        assert row["loss"] == pytest.approx(-sums.sum() / tokens.sum(), rel=1e-4)

    def test_simpo(self, tables, easy, tmp_path):
        sides = [logps(easy, tables["simpo"], f"{side}_completion_ids") for side in ("chosen", "rejected")]
        (chosen, n_chosen), (rejected, n_rejected) = sides
        expected = simpo_loss(chosen, rejected, n_chosen, n_rejected, beta=2.5, gamma=1.4)
        row = self.first("simpo", tables["simpo"], easy, tmp_path, beta=2.5, gamma=1.4)
        assert row["loss"] == pytest.approx(expected.mean(), rel=1e-4)
        margin = 2.5 * (chosen / n_chosen - rejected / n_rejected)
        assert row["pairs/margin"] == pytest.approx(margin.mean(), rel=1e-3)

    def test_dpo(self, tables, easy, tmp_path):
        table, columns = tables["dpo"], ("chosen_completion_ids", "rejected_completion_ids")
        options = {**SMALL, "batch_size": len(table), "beta": 0.3}
        run = dpo(table, easy, run_dir=tmp_path / "two", epochs=2, **options)
        assert run.metrics["loss"].iloc[0] == pytest.approx(np.log(2), rel=1e-5)  # nothing is preferred yet
        before = [logps(easy, table, column)[0] for column in columns]
        stored = pd.read_parquet(run.run_dir / "train" / "reference.parquet")
        assert stored["ref_chosen_logps"].to_numpy() == pytest.approx(before[0], abs=1e-3)
        assert stored["ref_rejected_logps"].to_numpy() == pytest.approx(before[1], abs=1e-3)
        # the second loss is that of the model after the first update
        first = dpo(table, easy, run_dir=tmp_path / "one", epochs=1, **options)
        after = [logps(easy, table, column, first.model)[0] for column in columns]
        expected = dpo_loss(*after, *before, beta=0.3).mean()
        assert abs(expected - np.log(2)) > 0.01
        assert run.metrics["loss"].iloc[1] == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize("reading", ["released", "paper"])
    def test_o1_pruner(self, tables, easy, tmp_path, reading):
        table = tables["o1_pruner"]
        sums, tokens = logps(easy, table, "completion_ids")
        options = dict(epochs=2, reading=reading, clip=0.1)
        losses = o1_pruner(table, easy, run_dir=tmp_path, **{**SMALL, "batch_size": len(table)}, **options)
        assert losses.metrics["loss"].iloc[0] == pytest.approx(-table["weight"].mean(), abs=1e-5)  # ratio 1
        # the second loss is that of the model after the first update
        first = o1_pruner(
            table,
            easy,
            run_dir=tmp_path / "1",
            reading=reading,
            clip=0.1,
            **{**SMALL, "batch_size": len(table)},
        )
        new = logps(easy, table, "completion_ids", first.model)[0]
        arguments = [torch.tensor(x) for x in (new, sums, tokens, table["weight"].to_numpy())]
        expected = o1_pruner_loss(*arguments, clip=0.1, reading=reading).mean()
        assert losses.metrics["loss"].iloc[1] == pytest.approx(float(expected), abs=1e-3)

    def test_padding_is_masked(self):
        rows = [{"prompt_ids": [1, 2], "completion_ids": [3]}, {"prompt_ids": [4], "completion_ids": [5, 6]}]
        batch = padded(rows, 0)
        assert batch["input_ids"].tolist() == [[1, 2, 3, 0], [0, 4, 5, 6]]
        assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
        assert batch["completion_mask"].tolist() == [[1, 0], [1, 1]]


# ----------------------------------------------------------------------------------------- the run
@pytest.mark.parametrize("name", LOSSES)
class TestRun:
    def test_a_stopped_run_ends_with_the_same_weights(self, name, tables, easy, whole, tmp_path, monkeypatch):
        from effwb.training.fine_tuning_progress import Rows

        def stop(self, args, state, control, **_):
            if state.global_step == 3:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Rows, "on_step_end", stop)
            with pytest.raises(KeyboardInterrupt):
                LOSSES[name](tables[name], easy, run_dir=tmp_path, epochs=2, **SMALL)
        saved = sorted(p.parent.name for p in tmp_path.glob("train/checkpoints/*/effwb.json"))
        assert saved == ["checkpoint-1", "checkpoint-2"]
        again = LOSSES[name](tables[name], easy, run_dir=tmp_path, epochs=2, **SMALL)
        assert again.metrics["step"].tolist() == [1, 2, 3, 4]
        assert again.metrics["loss"].tolist() == whole[name].metrics["loss"].tolist()
        assert weights(again) == weights(whole[name])
        assert not (tmp_path / "train/checkpoints").exists()

    def test_it_is_read_back_and_another_is_refused(self, name, tables, easy, whole, monkeypatch):
        monkeypatch.setattr(
            "effwb.training.fine_tuning.FineTuning.execute", lambda *_: pytest.fail("trained")
        )
        run_dir, options = whole[name].run_dir, {**SMALL, "epochs": 2}
        assert LOSSES[name](tables[name], easy, run_dir=run_dir, **options).model == whole[name].model
        for change, message in (({"epochs": 3}, "epochs"), ({"seed": 1}, "seed")):
            with pytest.raises(IdentityError, match=message):
                LOSSES[name](tables[name], easy, run_dir=run_dir, **{**options, **change})
        with pytest.raises(IdentityError, match="examples"):
            LOSSES[name](tables[name].iloc[1:], easy, run_dir=run_dir, **options)

    def test_lora(self, name, tables, easy, whole, tmp_path):
        result = LOSSES[name](tables[name], easy, run_dir=tmp_path, epochs=2, lora_rank=4, **SMALL)
        assert not Path(result.model, "adapter_config.json").exists()  # merged
        assert weights(result) not in (
            weights(whole[name]),
            Path(models.locate("pocket").path, "model.safetensors").read_bytes(),
        )
        assert result.metrics["loss"].iloc[0] == pytest.approx(whole[name].metrics["loss"].iloc[0], abs=1e-5)
        assert models.load_model(result.model, "float32", "cpu").num_parameters() > 0

    def test_bad_input(self, name, tables, easy, tmp_path):
        train, table = LOSSES[name], tables[name]
        for change, message in (
            ({"epochs": 0}, "epochs"),
            ({"learning_rat": 1.0}, "unknown setting of a training.*learning_rate"),
            ({"steps": 3}, "unknown setting of a training"),
            ({"processes": 4}, "batch_size=6 does not divide by processes=4"),
        ):
            with pytest.raises(ConfigError, match=message):
                train(table, easy, run_dir=tmp_path / "r", **{**SMALL, **change})
        for bad, message in (
            (table.iloc[:0], "nothing to learn: the table for .* has no rows"),
            (table[["problem_id"]], "the table lacks .*completion_ids"),
            (table.assign(problem_id="x"), "1 problem_ids are not among the problems, such as 'x'"),
        ):
            with pytest.raises(DataError, match=message):
                train(bad, easy, run_dir=tmp_path / "r", **SMALL)
        with pytest.raises(DataError, match="longer than max_length=3 tokens left out"):
            train(table, easy, run_dir=tmp_path / "r", max_length=3, **SMALL)
        assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("dpo", marks=pytest.mark.long),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sft", "simpo", "o1_pruner")),
    ],
)
def test_two_processes(name, tables, easy, whole, tmp_path):
    result = LOSSES[name](tables[name], easy, run_dir=tmp_path, epochs=2, processes=2, **SMALL)
    assert result.metrics["step"].tolist() == [1, 2, 3, 4]
    assert result.metrics["loss"].iloc[0] == pytest.approx(
        whole[name].metrics["loss"].iloc[0], rel=1e-3, abs=1e-5
    )
    again = LOSSES[name](tables[name], easy, run_dir=tmp_path, epochs=2, **SMALL)
    assert again.metrics.equals(result.metrics)  # the number of processes is no part of the identity


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("sft", {"beta": 1.0}, "beta is a setting of simpo and dpo; the loss 'sft' has none"),
        ("dpo", {"gamma": 1.0}, "gamma is a setting of simpo"),
        ("simpo", {"beta": 0.0}, "beta=0.0 must lie in"),
        ("simpo", {"gamma": -1.0}, "gamma=-1.0 must lie in"),
        ("dpo", {"beta": -0.1}, "beta"),
        ("o1_pruner", {"clip": 1.0}, "clip=1.0 must lie in"),
        ("o1_pruner", {"reading": "code"}, "unknown reading 'code'"),
    ],
)
def test_parameters_of_a_loss_that_are_not_legal(name, settings, message, tables, easy, tmp_path):
    with pytest.raises(ConfigError, match=message):
        LOSSES[name](tables[name], easy, run_dir=tmp_path, **{**SMALL, **settings})


def test_longer_rows_are_left_out_and_counted(tables, easy, tmp_path):
    table = tables["sft"]
    tokens = [len(ids) for ids in table["completion_ids"]]
    prompt = len(
        prompts.render(models.load_tokenizer("pocket"), easy["question"][0], prompts.template("pocket"))[1]
    )
    limit = max(tokens) + prompt - 4
    result = sft(table, easy, run_dir=tmp_path, max_length=limit, **SMALL)
    stored = result.examples
    assert 0 < stored["rows"] < len(table)
    (dropped,) = stored["dropped"]
    assert dropped["reason"] == f"longer than max_length={limit} tokens"
    assert dropped["problems"] == len(table) - stored["rows"] == len(dropped["problem_ids"])


@pytest.mark.slow
def test_a_killed_process_continues(easy, pool, whole, tables, tmp_path, run_until_killed):
    tables["dpo"].to_pickle(tmp_path / "table.pkl")
    code = (
        "import pandas as pd\nfrom effwb import problems, profiles\nfrom effwb.training import dpo\n"
        "dpo(pd.read_pickle('table.pkl'), problems.load('pocket', 16, split='train'), run_dir='run',\n"
        "    epochs=2, profile=profiles.profile('pocket'), batch_size=6, learning_rate=1e-3,\n"
        "    max_grad_norm=1e9, save_every=1, watch='none')"
    )
    assert run_until_killed(code, (tmp_path / "run/train/checkpoints/checkpoint-2/effwb.json").exists)
    again = dpo(tables["dpo"], easy, run_dir=tmp_path / "run", epochs=2, **SMALL)
    assert weights(again) == weights(whole["dpo"])

"""O1-Pruner's loss on numbers worked out by hand, and the losses that trainers are compared with."""

import pytest

from effwb.errors import ConfigError
from effwb.training.offline_losses import o1_pruner_loss
from tests.training.reference_losses import dpo_loss, simpo_loss

# log-probability, the reference's, tokens, weight, loss as released, loss as in the paper
WORKED = [
    (-30.0, -32.0, 20, 1.5, -1.657756, -1.8),  # exp(0.1) is inside the range, exp(2) is cut to 1.2
    (-30.0, -40.0, 20, 1.5, -1.8, -1.8),  # exp(0.5) is cut to 1.2
    (-90.0, -85.0, 10, -0.5, 0.4, 0.4),  # exp(-0.5) is cut to 0.8: nothing to gain by going further
    (-90.0, -85.0, 10, 2.0, -1.213061, -0.013476),  # below the range and to be raised: not cut
]


@pytest.mark.parametrize(("logp", "reference", "tokens", "weight", "released", "paper"), WORKED)
def test_the_worked_losses(logp, reference, tokens, weight, released, paper):
    import torch

    arguments = [torch.tensor([value], dtype=torch.float64) for value in (logp, reference, tokens, weight)]
    assert o1_pruner_loss(*arguments).tolist() == pytest.approx([released], abs=1e-6)
    assert o1_pruner_loss(*arguments, reading="paper").tolist() == pytest.approx([paper], abs=1e-6)


def test_a_batch_is_its_examples_one_by_one():
    import torch

    columns = [torch.tensor(values, dtype=torch.float64) for values in list(zip(*WORKED, strict=True))[:4]]
    assert o1_pruner_loss(*columns).tolist() == pytest.approx([row[4] for row in WORKED], abs=1e-6)


@pytest.mark.parametrize(
    ("weight", "log_ratio", "expected"),
    [(1.5, 0.0, -0.075), (1.5, 10.0, 0.0), (-1.5, 0.0, 0.075), (-1.5, -10.0, 0.0)],
)
def test_the_gradient_stops_where_the_ratio_leaves_the_range(weight, log_ratio, expected):
    """At the reference, the gradient is -weight / tokens."""
    import torch

    logp = torch.tensor([-30.0 + log_ratio], requires_grad=True)
    o1_pruner_loss(logp, torch.tensor([-30.0]), torch.tensor([20]), torch.tensor([weight])).sum().backward()
    assert logp.grad.tolist() == pytest.approx([expected])


def test_an_unknown_reading():
    import torch

    one = torch.ones(1)
    with pytest.raises(ConfigError, match="unknown reading 'code'; legal: released, paper"):
        o1_pruner_loss(one, one, one, one, reading="code")


def test_the_losses_to_compare_trainers_with():
    # -log sigmoid(2 x -1.5 - 2 x -2 - 1.2), and -log sigmoid(0.1 x (2 - -5))
    assert simpo_loss(-30.0, -90.0, 20, 45, beta=2.0, gamma=1.2) == pytest.approx(0.798139, abs=1e-6)
    assert dpo_loss(-30.0, -90.0, -32.0, -85.0, beta=0.1) == pytest.approx(0.403186, abs=1e-6)

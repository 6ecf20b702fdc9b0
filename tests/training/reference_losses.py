"""The losses of SimPO and DPO in numpy, typed from their papers, to compare the trainers with."""

import numpy as np


def simpo_loss(chosen_logp, rejected_logp, chosen_tokens, rejected_tokens, *, beta, gamma):
    """SimPO (2405.14734, equation 6), a value per pair; log-probabilities are summed over tokens.

    -log sigmoid(beta / |y_w| logp_w - beta / |y_l| logp_l - gamma)
    """
    means = np.asarray(chosen_logp) / chosen_tokens, np.asarray(rejected_logp) / rejected_tokens
    return np.log1p(np.exp(-(beta * means[0] - beta * means[1] - gamma)))


def dpo_loss(chosen_logp, rejected_logp, chosen_reference_logp, rejected_reference_logp, *, beta):
    """DPO (2305.18290, equation 7), a value per pair; log-probabilities are summed over tokens.

    -log sigmoid(beta (logp_w - ref_w) - beta (logp_l - ref_l))
    """
    chosen = np.asarray(chosen_logp) - np.asarray(chosen_reference_logp)
    rejected = np.asarray(rejected_logp) - np.asarray(rejected_reference_logp)
    return np.log1p(np.exp(-beta * (chosen - rejected)))

"""Grade texts against golds into the verdict columns that the rollout and the probe table share."""

from collections.abc import Iterable

from effwb.verifiers import VERIFIER, verify


def grade(texts: Iterable[str], golds: Iterable, timeout: float) -> dict[str, list]:
    """Grade texts and return the verdict columns of a table.

    Args:
        texts: Whole completions, one per row.
        golds: The reference answer of each row.
        timeout: Most seconds for comparing one answer with its gold.

    Returns:
        The columns `extracted`, `verdict` and `verify_ms`.
    """
    verdicts = verify(list(texts), list(golds), timeout=timeout)
    return {
        "extracted": [v.extracted for v in verdicts],
        "verdict": [v.status for v in verdicts],
        "verify_ms": [1000 * v.seconds for v in verdicts],
    }


def identity(timeout: float) -> dict:
    """Return what decides a verdict, for the identity of a run."""
    return {"verifier": VERIFIER, "timeout": timeout}

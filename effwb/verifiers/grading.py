"""Texts and golds in, verdict columns out: what rollouts and probes share."""

from effwb.verifiers import VERIFIER, verify


def grade(texts, golds, timeout: float) -> dict[str, list]:
    """The columns `extracted`, `verdict` and `verify_ms` for a sequence of texts and their golds."""
    verdicts = verify(list(texts), list(golds), timeout=timeout)
    return {
        "extracted": [v.extracted for v in verdicts],
        "verdict": [v.status for v in verdicts],
        "verify_ms": [1000 * v.seconds for v in verdicts],
    }


def identity(timeout: float) -> dict:
    """What decides a verdict, for the identity of a run."""
    return {"verifier": VERIFIER, "timeout": timeout}

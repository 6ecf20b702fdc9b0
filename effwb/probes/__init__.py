"""Probing: stop rollouts at budgets, force their answers there, and grade them."""

from effwb.probes.forced import CutFinder, CutPoint, ForcedAnswer, Prober, ProbeTarget, cuts_of
from effwb.probes.table import COLUMNS, TYPES, Probing, ShardProber, cut_table, probe, read_probes

__all__ = [
    "COLUMNS",
    "TYPES",
    "CutFinder",
    "CutPoint",
    "ForcedAnswer",
    "ProbeTarget",
    "Prober",
    "Probing",
    "ShardProber",
    "cut_table",
    "cuts_of",
    "probe",
    "read_probes",
]

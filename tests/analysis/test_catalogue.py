"""What can be chosen from is listed whole, and every column of every table is described."""

from typing import get_args, get_type_hints

import pytest

from effwb import probes, problems, rollouts
from effwb.analysis.catalogue import (
    COLUMNS,
    TABLES,
    TRAINING_ENGINES,
    columns_table,
    designs_table,
    engines_table,
    profiles_table,
)
from effwb.analysis.run_set import RunSet
from effwb.designs import DESIGNS
from effwb.errors import ConfigError
from effwb.profiles import PROFILES, Training
from effwb.samplers import SAMPLERS
from tests.made_up import write_evaluation


def test_every_design_has_a_sentence_and_all_but_the_baseline_a_paper():
    table = designs_table().set_index("design")
    assert table.index.tolist() == list(DESIGNS)
    assert table["rewards"].str.endswith(".").all()
    assert table.index[table["paper"] == ""].tolist() == ["vanilla"]
    assert table.loc["lead", "paper"] == "2605.09806"


def test_every_profile_and_every_engine():
    assert profiles_table()["profile"].tolist() == list(PROFILES)
    engines = engines_table()
    assert engines.loc[engines["for"] == "evaluation", "engine"].tolist() == list(SAMPLERS)
    assert set(TRAINING_ENGINES) == set(get_args(get_type_hints(Training)["engine"]))
    assert (engines["what it does"] != "").all()
    assert engines.set_index(["for", "engine"]).loc[("evaluation", "transformers"), "installed"]


def test_the_columns_are_those_of_the_tables(tmp_path):
    write_evaluation(tmp_path / "a")
    runs = RunSet.find(tmp_path)
    real = {
        "problems": problems.COLUMNS,
        "rollouts": rollouts.COLUMNS,
        "probes": probes.COLUMNS,
        "runs": runs.table().columns,
        "reg": ["J(l_max)" if name == "J(20)" else name for name in runs.reg().columns],
    }
    for table, columns in real.items():
        assert list(COLUMNS[table]) == list(columns), table


def test_every_table_says_what_it_is():
    assert list(TABLES) == list(COLUMNS)
    assert len(columns_table()) == sum(map(len, COLUMNS.values()))
    assert columns_table("probes")["column"].tolist() == list(probes.COLUMNS)
    with pytest.raises(ConfigError, match=r"unknown table 'prbes'.*Did you mean 'probes'"):
        columns_table("prbes")

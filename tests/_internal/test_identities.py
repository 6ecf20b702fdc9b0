"""Messages about another run say in words what differs."""

import pytest

from effwb._internal.identities import MEANINGS, differences_in_words, problems_in_words
from effwb.errors import IdentityError
from effwb.runs import RunDir, check_identity, digest

OLD, NEW = "19a7068dedb0", "a8c02fd837f0"


@pytest.mark.parametrize("key", MEANINGS)
def test_no_digest_is_shown(key, tmp_path):
    with pytest.raises(IdentityError) as caught:
        check_identity({"part": {key: OLD}}, {"part": {key: NEW}}, tmp_path)
    assert f"part.{key}: {MEANINGS[key]}" in str(caught.value)
    assert OLD not in str(caught.value)
    assert NEW not in str(caught.value)


def test_values_are_shown_as_they_are_and_long_lists_by_their_ends():
    old = {"n": 1, "budgets": list(range(100)), "monitor": None, "notes": OLD}
    new = {"n": 2, "budgets": list(range(0, 200, 2)), "monitor": NEW, "notes": NEW}
    assert differences_in_words(old, new, {}) == [
        "budgets: 100 values from 0 to 99 on disk, 100 values from 0 to 198 asked for",
        "monitor: none on disk, some asked for",
        "n: 1 on disk, 2 asked for",
        "notes: another value than on disk",
    ]


def test_what_was_recorded_about_a_digest_is_shown(tmp_path):
    run = RunDir(tmp_path)
    first, second = ["What is 3 + 4?"], ["What is 3 + 4?", "What is 5 + 6?"]
    run.begin("rollouts", {"problems": digest(first)}, in_words={"problems": problems_in_words(first)})
    (run.path / "rollouts/DONE").write_text('{"shards": 0}')
    with pytest.raises(IdentityError) as caught:
        run.begin("rollouts", {"problems": digest(second)}, in_words={"problems": problems_in_words(second)})
    assert (
        "problems: 1 problem (first: 'What is 3 + 4?') on disk, 2 problems (first: 'What is 3 + 4?') asked"
        in str(caught.value)
    )
    with pytest.raises(IdentityError, match="problems: not the same problems"):  # same number, same first one
        run.begin("rollouts", {"problems": OLD}, in_words={"problems": problems_in_words(first)})

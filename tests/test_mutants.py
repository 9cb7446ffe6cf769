"""The mistakes of `make mutants` can still be put in, and their tests are still there."""

import pytest

from tests.mutants import MUTANTS, ROOT


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_has_its_place(name):
    mutant = MUTANTS[name]
    assert (ROOT / "filterlearn" / mutant.file).read_text().count(mutant.right) == 1
    assert mutant.wrong not in (ROOT / "filterlearn" / mutant.file).read_text()
    assert (ROOT / mutant.test).exists()

"""The live page in a browser, in its short form: twelve seconds."""

import asyncio
import shutil

import pytest

from examples.live_page import PICTURES, followed


@pytest.mark.science
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium on the PATH")
def test_the_page_keeps_up(tmp_path):
    """Live all the time, without an error, less than three seconds behind, and pictured in three ways."""
    seen, errors = asyncio.run(followed(12, tmp_path))
    print(seen[-1], errors)
    assert errors == []
    assert {state for *_, state in seen} == {"live"}
    assert all(sent - shown < 30 for sent, shown, _ in seen)
    assert seen[-1][1] > seen[0][1] > 0
    assert all((tmp_path / f"{name}.png").stat().st_size > 20_000 for name in PICTURES)

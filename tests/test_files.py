"""Files of observations: CSV and JSON Lines say the same, and what cannot be read is refused by line."""

import numpy as np
import pytest

import filterlearn as fl
from filterlearn.data import rows

CSV = 't,y,u,note\n2020-01-01,1.5,0.1,"two\nlines"\n\n2020-01-03,,0.2,\n'
JSONL = '{"t": "2020-01-01", "y": 1.5, "u": 0.1}\n{"t": "2020-01-03", "u": 0.2}\n'


def test_csv_and_json_lines_say_the_same(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeff" + CSV, encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(JSONL)
    one = fl.Dataset.from_csv(tmp_path / "a.csv", time="t", value="y", inputs=["u"])
    two = fl.Dataset.from_jsonl(tmp_path / "a.jsonl", time="t", value="y", inputs=["u"])
    for each in (one, two):
        np.testing.assert_array_equal(each.times, [0.0, 2.0])
        np.testing.assert_array_equal(each.values, [[1.5], [np.nan]])
        np.testing.assert_allclose(each.inputs, [[0.1], [0.2]])
        assert (each.origin[:10], each.unit) == ("2020-01-01", "D")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "data: no rows"),
        ("t,y\n", "data: no rows"),
        ("t,x\n1,2\n", "y: no such column"),
        ("t,y,y\n1,2,3\n", "y: more than one column"),
        ("t,y\n1,1_000\n", "'1_000' is not a number, on line 2"),
        ('{"t": 1, "y": 2, "y": 3}\n', "data: line 1 is not JSON: a field is there twice"),
        ("t,y\n1,2\n2\n", "2 cells are needed on line 3, got 1"),
        ("t,y\n1,2\n2,abc\n", "'abc' is not a number, on line 3"),
        ('{"t": 1, "y": 2}\n{"t": 2, ', "line 2 is not JSON"),
        ('{"t": 1, "y": 2}\n[3]\n', "an object with named fields is needed on line 2"),
        ('{"t": 1, "y": 2}\n{"y": 2}\n', "t: no time on line 2"),
    ],
)
def test_unreadable_files_are_refused_by_line(text, words):
    with pytest.raises(ValueError, match=words):
        list(rows(text.splitlines(keepends=True), "t", "y"))

"""Files are whole or absent."""

from pathlib import Path

import pytest

from tasks.adapters.storage.files import read_jsonl, whole_file, write_json, write_jsonl


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": "é"})
    before = path.read_text()
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_text() == before == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_lines_come_back_as_written(tmp_path: Path) -> None:
    rows = [{"text": "a\nb"}, {"text": "ü"}]
    assert write_jsonl(tmp_path / "rows.jsonl", rows) == 2
    assert list(read_jsonl(tmp_path / "rows.jsonl")) == rows

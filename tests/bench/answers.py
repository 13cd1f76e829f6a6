"""Answers of the evaluation engine against one-at-a-time Hugging Face generate: tokens per CPU-second.

Run `python -m tests.bench.answers` (some ten minutes) or with `--quick`. The prompts are those of evaluation: generated
questions about the interpreter's documentation, each with the three passages that lexical search finds for it, in the
product's prompt and chat template, greedy, answered by the embedded base model. Each figure comes from a process of its
own with one thread; loading is counted apart, prompt processing is in. The baseline is generate in bfloat16, as the
model is published; float32, faster where a processor has no bfloat16, is printed beside it, with the bound that the
processor's arithmetic sets. Prompts share beginnings as they do in evaluation, and the share is printed, since the
engine computes a shared beginning once.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from tasks.core.retrieval.passages import Passage
from tests.bench.costs import cpu_seconds, peak_gb

PASSAGES = 3
MODULES = ["argparse", "collections", "csv", "email", "http", "json", "logging", "os", "pathlib", "shutil", "unittest"]
MAX_NEW_TOKENS = 40  # evaluation's
PROMISE = 8.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


@dataclass(frozen=True)
class Result:
    """What one engine did: tokens read and written, and the processor time that took, loading apart."""

    engine: str
    answers: int
    prompt_tokens: int
    new_tokens: int
    load_s: float
    cpu_s: float
    wall_s: float
    peak_gb: float
    gflops: float = 0.0
    """Float32 matrix products of one thread in this process, in GFLOP/s; of a peer."""
    body: int = 0
    """Weights that every token passes."""
    head: int = 0
    """Weights that only a new token passes."""

    @property
    def rate(self) -> float:
        return self.new_tokens / self.cpu_s

    @property
    def rate_all(self) -> float:
        return (self.prompt_tokens + self.new_tokens) / self.cpu_s


def main() -> None:
    """Print the table; exit with 1 where the promised ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="64 prompts instead of 256, of which the peers get 8")
    parser.add_argument("--engine", choices=sorted(ENGINES), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=int, default=MAX_NEW_TOKENS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        print(json.dumps(asdict(ENGINES[arguments.engine](json.loads(arguments.file.read_text()), arguments.tokens))))
        return
    sys.exit(compare(ours=64 if arguments.quick else 256, peers=8 if arguments.quick else 32))


def compare(ours: int, peers: int) -> str | None:
    """Run every engine and return what misses its promise. Peers answer some of the same prompts, evenly spread."""
    from tasks.adapters.inference.batch_engine import best_precision

    us = f"ratchet {best_precision()}"
    asked = prompts(ours)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.json" for name in ("peers", "ours")}
        files["peers"].write_text(json.dumps(asked[:: ours // peers]))
        files["ours"].write_text(json.dumps(asked))
        runs = {"hf f32": files["peers"], "hf bf16": files["peers"], us: files["ours"]}
        results = {name: measure(name, file) for name, file in runs.items()}
    print(f"{ours} prompts; {shared_share(asked):.0%} of their text is a beginning met before")
    columns = ("engine", "answers", "read", "new", "new/CPU-s", "all/CPU-s", "CPU-s each", "load CPU-s", "peak GB")
    print("".join(f"{column:>12}" for column in columns))
    for r in results.values():
        tokens = (r.prompt_tokens / r.answers, r.new_tokens / r.answers, r.rate, r.rate_all)
        rest = (r.cpu_s / r.answers, r.load_s, r.peak_gb)
        print(f"{r.engine:>12}{r.answers:12}" + "".join([f"{v:12.1f}" for v in tokens] + [f"{v:12.2f}" for v in rest]))
    ratios = {name: results[us].rate / results[name].rate for name in ("hf bf16", "hf f32")}
    for name, ratio in ratios.items():
        all_tokens = results[us].rate_all / results[name].rate_all
        print(f"ratio to {name} one at a time: {ratio:.1f} new tokens, {all_tokens:.1f} tokens read and new")
    if best_precision() == "f32":
        limit = float32_limit(results["hf f32"], results[us], shared_share(asked)) / results["hf f32"].rate
        print(
            f"this processor has no bfloat16: nothing that computes in float32 can pass {limit:.1f} times hf f32 here"
        )
    print(f"promised: {PROMISE:.0f} times hf bf16, the type the model is published in")
    return None if ratios["hf bf16"] >= PROMISE else f"ratio {ratios['hf bf16']:.1f} < {PROMISE:.0f}"


def float32_limit(peer: Result, ours: Result, shared: float) -> float:
    """Return the new tokens per CPU-second of an engine that does nothing but our prompts' float32 multiplications."""
    tokens = ours.prompt_tokens * (1 - shared) + ours.new_tokens
    operations = 2 * (peer.body * tokens + peer.head * ours.new_tokens)
    return ours.new_tokens / (operations / 1e9 / peer.gflops)


def shared_share(texts: Sequence[str]) -> float:
    """Return the share of the prompts' characters that lie in a beginning shared with an earlier prompt."""
    ordered = sorted(texts)
    shared = sum(_common(one, other) for one, other in pairwise(ordered))
    return shared / sum(map(len, ordered))


def _common(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def measure(engine: str, file: Path, max_new_tokens: int = MAX_NEW_TOKENS) -> Result:
    """Return what a process of its own measured, with answers of at most so many tokens."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.answers", "--engine", engine, "--file", str(file)]
    command += ["--tokens", str(max_new_tokens)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=True)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Material:
    """Documents as passages, and questions about few enough of them that one is asked about twice, as in evaluation."""

    passages: list[Passage]
    titles: dict[str, str]
    questions: list[str]


def material() -> Material:
    """Return the documentation of some modules and generated questions about it."""
    from tasks.adapters.sources.python_docs.documented_objects import Limits, read_reference
    from tasks.core.questions.generate import ask
    from tasks.core.retrieval.passages import cut

    corpus = read_reference("bench", MODULES, lambda _: True, Limits(40, 4000), {})
    asked = ask(corpus, unanswerable_share=0.4, held_out_share=0.2, limit=10_000)
    by_document = sorted(asked, key=lambda question: hashlib.sha256(question.draft.subject.name.encode()).digest())
    return Material(
        passages=[p for s in corpus.subjects for p in cut(s.document_id, s.name, s.text)],
        titles={s.document_id: s.name for s in corpus.subjects},
        questions=[question.wording.text for question in by_document],
    )


def rendered(asked: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return each question with the passages it is shown in the product's prompt and chat template."""
    from tasks.adapters.models.base_model import EMBEDDED, load_tokenizer, resolve
    from tasks.core.chat import prompt
    from tasks.settings import Settings

    tokenizer = load_tokenizer(resolve(EMBEDDED, Settings().model_cache).folder)
    chats = [prompt.render(shown, question) for question, shown in asked]
    return [str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)) for chat in chats]


def prompts(count: int) -> list[str]:
    """Return rendered prompts with the passages that lexical search finds."""
    from tasks.adapters.retrieval.index import build_lexical
    from tasks.core.retrieval.terms import terms

    made = material()
    lexical = build_lexical([passage.text for passage in made.passages])

    def found(question: str) -> list[str]:
        scores = lexical.get_scores_from_ids(lexical.get_tokens_ids(list(dict.fromkeys(terms(question)))))
        return [made.passages[row].text for row in np.argsort(-np.asarray(scores), kind="stable")[:PASSAGES]]

    return rendered([(question, found(question)) for question in made.questions[:count]])


def ratchet(precision: str) -> Callable[[Sequence[str], int], Result]:
    """The engine of evaluation in one process."""

    def run(texts: Sequence[str], max_new_tokens: int) -> Result:
        from tasks.adapters.inference.batch_engine import open_engine
        from tasks.adapters.inference.batch_types import EngineSpec
        from tasks.adapters.models.base_model import EMBEDDED, resolve
        from tasks.adapters.models.gguf_export import merged_gguf
        from tasks.settings import Settings

        cache = Settings().model_cache
        base = resolve(EMBEDDED, cache)
        weights = merged_gguf(base, None, cache)
        before = cpu_seconds()
        engine = open_engine(EngineSpec("openvino", weights, base.folder, precision))  # type: ignore[arg-type]
        loaded, started = cpu_seconds(), time.monotonic()
        answers = engine.answer(texts, max_new_tokens)
        assert all(answer.status == "ok" for answer in answers)
        tokens = (sum(a.prompt_tokens for a in answers), sum(a.completion_tokens for a in answers))
        return result(f"ratchet {precision}", len(texts), tokens, (before, loaded, started))

    return run


def hugging_face(dtype: str) -> Callable[[Sequence[str], int], Result]:
    """What people do first: load, and call generate for one prompt after the other."""

    def run(texts: Sequence[str], max_new_tokens: int) -> Result:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from tasks.adapters.models.base_model import EMBEDDED, resolve
        from tasks.settings import Settings

        folder = resolve(EMBEDDED, Settings().model_cache).folder
        torch.set_num_threads(1)
        before = cpu_seconds()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind)
        loaded, started = cpu_seconds(), time.monotonic()
        read = written = 0
        for text in texts:
            inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
            with torch.inference_mode():
                ids = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
            read += inputs["input_ids"].shape[1]
            written += ids.shape[1] - inputs["input_ids"].shape[1]
        done = result(f"hf {dtype}", len(texts), (read, written), (before, loaded, started))
        head = model.get_input_embeddings().weight.numel()
        return replace(done, gflops=matrix_gflops(), head=head, body=sum(p.numel() for p in model.parameters()) - head)

    return run


def matrix_gflops() -> float:
    """Return the float32 rate of one thread on matrices of the model's shape."""
    import torch

    rows, columns = torch.randn(1024, 576), torch.randn(576, 1536)
    repeats, started = 300, time.process_time()
    for _ in range(repeats):
        rows @ columns
    return 2 * 1024 * 576 * 1536 * repeats / (time.process_time() - started) / 1e9


def result(name: str, answers: int, tokens: tuple[int, int], clocks: tuple[float, float, float]) -> Result:
    before, loaded, started = clocks
    return Result(
        engine=name,
        answers=answers,
        prompt_tokens=tokens[0],
        new_tokens=tokens[1],
        load_s=loaded - before,
        cpu_s=cpu_seconds() - loaded,
        wall_s=time.monotonic() - started,
        peak_gb=peak_gb(),
    )


ENGINES = {
    **{f"ratchet {precision}": ratchet(precision) for precision in ("f32", "bf16")},
    **{f"hf {dtype}": hugging_face(dtype) for dtype in ("f32", "bf16")},
}

if __name__ == "__main__":
    main()

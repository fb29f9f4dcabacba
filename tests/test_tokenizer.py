"""Tokens of texts: OpenCLIP's padding, the two vocabulary files alone, files that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from icmbench.codecs.diff_icmh.model_folder import TOKENIZER, weights_digest
from icmbench.codecs.diff_icmh.tokenizer import END, START, Tokenizer
from icmbench.core.errors import ModelError

LETTERS = "acdghot"
MERGES = [("c", "a"), ("ca", "t</w>"), ("h", "o"), ("ho", "t</w>")]
TOKENS = [
    *LETTERS, *(f"{c}</w>" for c in LETTERS), ",", ",</w>", *("".join(m) for m in MERGES),
    START, END,
]  # fmt: skip
IDS = {token: number for number, token in enumerate(TOKENS)}
LENGTH = 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocab.json").write_text(json.dumps(IDS), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in MERGES), ""]
    (tmp_path / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def tokens(folder: Path, text: str) -> list[str]:
    row = Tokenizer(folder, len(IDS), LENGTH)([text])[0]
    return [TOKENS[number] for number in row]


def test_a_text_is_split_and_padded_with_token_0(folder: Path) -> None:
    """transformers' default pads with the end token, which changes every decoded image."""
    padding = TOKENS[0]
    assert tokens(folder, "cat, hot") == [START, "cat</w>", ",</w>", "hot</w>", END, *[padding] * 4]
    assert tokens(folder, "") == [START, END, *[padding] * 7]
    assert tokens(folder, "  CAT &amp;#44;\n hot ") == tokens(folder, "cat , hot")


def test_a_long_text_is_cut_and_keeps_its_end(folder: Path) -> None:
    row = tokens(folder, "cat, " * 20)
    assert row == [START, *["cat</w>", ",</w>"] * 3, "cat</w>", END]
    exact = tokens(folder, "cat, cat, cat, cat")
    assert exact[-2:] == ["cat</w>", END]


def test_files_beside_the_vocabulary_change_nothing(folder: Path) -> None:
    texts = ["cat", "hot, dog", ""]
    before = Tokenizer(folder, len(IDS), LENGTH)(texts)
    config = {"pad_token": "!", "model_max_length": 5, "tokenizer_class": "GPT2Tokenizer"}
    for name in ("tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"):
        (folder / name).write_text(json.dumps(config), encoding="utf-8")
    (folder / "added_tokens.json").write_text(json.dumps({"cat": 99}), encoding="utf-8")
    assert torch.equal(Tokenizer(folder, len(IDS), LENGTH)(texts), before)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no merges": (lambda f: (f / "merges.txt").unlink(), "merges.txt: no such file"),
    "no vocabulary": (lambda f: (f / "vocab.json").unlink(), "vocab.json: no such file"),
    "not JSON": (lambda f: (f / "vocab.json").write_bytes(b"\xff{"), "damaged"),
    "nested": (lambda f: (f / "vocab.json").write_text("[" * 100_000), "damaged"),
    "a list": (lambda f: (f / "vocab.json").write_text("[1]"), "not a map"),
    "true for a number": (
        lambda f: (f / "vocab.json").write_text(json.dumps({**IDS, "a": True})),
        "not a map",
    ),
    "a number twice": (
        lambda f: (f / "vocab.json").write_text(json.dumps({**IDS, "a": 1})),
        "its numbers are not 0 to",
    ),
    "of another encoder": (
        lambda f: (f / "vocab.json").write_text(json.dumps({**IDS, "x": len(IDS)})),
        f"{len(IDS) + 1} tokens, the text encoder has {len(IDS)}",
    ),
    "no end": (
        lambda f: (f / "vocab.json").write_text(json.dumps({**IDS, "e": IDS[END]} | {END: 0})),
        "numbers",
    ),
    "another end": (
        lambda f: (f / "vocab.json").write_text(json.dumps({**IDS, END: 0, "a": IDS[END]})),
        "are not its last two tokens",
    ),
    "a merge of three": (
        lambda f: (f / "merges.txt").write_text("c a t\n"), "line 1: a merge is two tokens"
    ),
    "another vocabulary's merges": (
        lambda f: (f / "merges.txt").write_text("g h\n"), "'g' 'h' is not of the tokens"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_vocabulary_that_does_not_fit_is_refused(folder: Path, fault: str) -> None:
    change, text = FAULTS[fault]
    change(folder)
    with pytest.raises(ModelError, match=text) as caught:
        Tokenizer(folder, len(IDS), LENGTH)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_the_digest_of_a_model_covers_its_vocabulary(tmp_path: Path, name: str) -> None:
    for part in ("autoencoder", "prior", "codec", "control", "tables"):
        (tmp_path / f"{part}.safetensors").write_bytes(part.encode())
    (tmp_path / TOKENIZER).mkdir()
    for file in ("vocab.json", "merges.txt"):
        (tmp_path / TOKENIZER / file).write_text("1")
    before = weights_digest(tmp_path)
    (tmp_path / TOKENIZER / "tokenizer_config.json").write_text("{}")
    assert weights_digest(tmp_path) == before
    (tmp_path / TOKENIZER / name).write_text("2")
    assert weights_digest(tmp_path) != before

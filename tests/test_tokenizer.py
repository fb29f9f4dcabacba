"""Tokens of texts: OpenCLIP's padding, the two vocabulary files alone, files that do not fit."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from icmbench.codecs.diff_icmh.model_folder import TOKENIZER, weights_digest
from icmbench.codecs.diff_icmh.tokenizer import END, START, Tokenizer
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file

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


# ----- the published vocabulary

GOLDEN = Path(__file__).parent / "data" / "openclip_tokens.json"
SIZE, LENGTH_OF_CLIP = 49_408, 77  # tokens of Stable Diffusion 2.1's vocabulary and of its texts


def published_folder(folder: Path, merges_file: bytes) -> Path:
    """vocab.json and merges.txt from the list of merges that CLIP's own code ships.

    Tokens are 256 bytes, the same at the end of a word, the merges in order, start and end. Bytes
    that print stand for themselves, the others for characters from 256 on.
    """
    lines = gzip.decompress(merges_file).decode().split("\n")[1 : SIZE - 512 - 2 + 1]
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = [*map(chr, plain), *(chr(256 + place) for place in range(len(others)))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [line.replace(" ", "") for line in lines]
    vocabulary = {token: number for number, token in enumerate([*tokens, START, END])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]), encoding="utf-8")
    return folder


def test_ten_prompts_have_the_numbers_of_open_clip(tmp_path: Path) -> None:
    """Padded with 0 (not the end token), cut to 77 with the end token kept; see the golden file."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    mmseg = importlib.util.find_spec("mmseg")  # its wheel ships the same file
    if mmseg is None or mmseg.origin is None:
        pytest.skip("mmsegmentation is not installed")
    path = Path(mmseg.origin).parent / "utils" / golden["vocabulary"].split()[0]
    assert sha256_file(path) == golden["vocabulary_sha256"]
    tokenizer = Tokenizer(published_folder(tmp_path, path.read_bytes()), SIZE, LENGTH_OF_CLIP)
    texts = [prompt["text"] for prompt in golden["prompts"]]
    rows = [prompt["ids"] for prompt in golden["prompts"]]
    assert (len(texts), {len(row) for row in rows[-2:]}) == (10, {LENGTH_OF_CLIP})
    assert all((row[0], row[-1]) == (SIZE - 2, SIZE - 1) for row in rows)
    expected = [[*row, *[0] * (LENGTH_OF_CLIP - len(row))] for row in rows]
    assert tokenizer(texts).tolist() == expected

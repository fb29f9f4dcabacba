"""OpenCLIP's tokens of a text, from the two vocabulary files of Stable Diffusion 2.1.

<folder>/vocab.json   token -> number
<folder>/merges.txt   byte-pair merges, in order

Nothing beside these two files is read: a `tokenizer_config.json` would change the padding while the
model's digest stays. Texts are padded with token 0, as OpenCLIP does and the published model was
trained with; transformers' own default pads with the end token.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from icmbench.codecs.diff_icmh.model_folder import WORDS
from icmbench.core.errors import ModelError

START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
PADDING: Final = 0
REMEDY: Final = "take both files from the folder `tokenizer` of Stable Diffusion 2.1"


class Tokenizer:
    """Texts to rows of token numbers.

    Attributes:
        length: tokens of a text, padding included.
    """

    def __init__(self, folder: Path, tokens: int, length: int) -> None:
        """Read the vocabulary.

        Args:
            folder: holds the files `WORDS`.
            tokens: rows of the text encoder's embedding.
            length: tokens of a text of that encoder.

        Raises ModelError where a file is missing, damaged, or not of this text encoder.
        """
        self.length = length
        vocabulary, merges = _read(folder)
        _check(folder, vocabulary, merges, tokens)
        self._end = vocabulary[END]
        self._tokenizer = _transformers(folder)(vocab=vocabulary, merges=merges)

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Token numbers, int64 (n, length): start, text, end, zeros; a long text is cut."""
        rows = torch.full((len(texts), self.length), PADDING)
        for row, text in zip(rows, texts, strict=True):
            ids = self._tokenizer(_cleaned(text)).input_ids
            if len(ids) > self.length:
                ids = [*ids[: self.length - 1], self._end]
            row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
        return rows


def _cleaned(text: str) -> str:
    """The text as OpenCLIP cleans it before it is split."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


def _transformers(folder: Path) -> Any:
    try:
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise ModelError(f"{folder}: a text encoder needs the package transformers") from error
    return CLIPTokenizer


def _read(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    words, pairs = (folder / name for name in WORDS)
    try:
        vocabulary = json.loads(words.read_text(encoding="utf-8-sig"))
        lines = pairs.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename}: no such file; {REMEDY}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder}: vocab.json or merges.txt is damaged: {error}") from error
    if not isinstance(vocabulary, dict) or not all(type(n) is int for n in vocabulary.values()):
        raise ModelError(f"{words}: not a map from tokens to numbers; {REMEDY}")
    merges = []
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if parts and not (number == 1 and line.startswith("#version")):
            if len(parts) != 2:
                raise ModelError(f"{pairs}, line {number}: a merge is two tokens; {REMEDY}")
            merges.append((parts[0], parts[1]))
    return vocabulary, merges


def _check(
    folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]], tokens: int
) -> None:
    """ModelError where the two files do not belong together or not to the text encoder."""
    words = folder / WORDS[0]
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ModelError(f"{words}: its numbers are not 0 to {len(vocabulary) - 1}; {REMEDY}")
    if len(vocabulary) != tokens:
        text = f"{len(vocabulary)} tokens, the text encoder has {tokens}"
        raise ModelError(f"{words}: {text}; {REMEDY}")
    if (vocabulary.get(START), vocabulary.get(END)) != (tokens - 2, tokens - 1):
        raise ModelError(f"{words}: {START} and {END} are not its last two tokens; {REMEDY}")
    for left, right in merges:
        if not {left, right, left + right} <= vocabulary.keys():
            text = f"the merge {left!r} {right!r} is not of the tokens in vocab.json"
            raise ModelError(f"{folder / WORDS[1]}: {text}; {REMEDY}")

"""Names of the tags of a model folder, read without its networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.codecs.diff_icmh.model_folder import TEXT, VOCABULARY, part_file
from icmbench.codecs.diff_icmh.tags import AUTO, JOIN, NONE
from icmbench.core.errors import CodecError, ConfigError, ModelError
from icmbench.core.suggest import unknown
from icmbench.models.headers import read_header


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """Read the names of the tags, one a line; ModelError for a missing file or a repeated name."""
    try:
        names = tuple(path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: the names of the tags, one a line: {error}") from error
    if len(set(names)) != len(names) or not all(name.strip() for name in names):
        raise ModelError(f"{path}: a name is empty or repeated")
    return names


def model_vocabulary(folder: Path) -> tuple[str, ...]:
    """Read the names of the tags of a model folder; ModelError for a missing or damaged file.

    Those of an imported model are a file of names, others stand in the header of the prior.
    """
    if part_file(folder, TEXT).is_file():
        return read_vocabulary(folder / VOCABULARY)
    path = part_file(folder, "prior")
    try:
        return tuple(str(name) for name in read_header(path)["network"]["vocabulary"])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: its metadata is incomplete: {error}") from error


def check_tags(text: str, vocabulary: Sequence[str]) -> None:
    """Raise ConfigError naming a tag outside the vocabulary, and the nearest one."""
    if text in (AUTO, NONE):
        return
    for name in (part.strip() for part in text.split(JOIN)):
        if name not in vocabulary:
            raise ConfigError(f"tags={text}: {unknown('tag', name, vocabulary)}")


def named_tags(text: str, vocabulary: Sequence[str]) -> tuple[int, ...]:
    """Look up the ids of tags given by name, joined by `+`; none for the text `none`.

    Raises CodecError naming a tag that is not in the vocabulary, and the nearest ones.
    """
    if text == NONE:
        return ()
    ids = set()
    for name in (part.strip() for part in text.split(JOIN)):
        if name not in vocabulary:
            raise CodecError(unknown("tag", name, vocabulary))
        ids.add(vocabulary.index(name))
    return tuple(sorted(ids))

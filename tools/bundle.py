"""Put the weights of a run in place of the bundled ones: `python tools/bundle.py results/mini`.

The run is one of `snakemake models --configfile configs/mini.yaml`, which trains every part from
scratch, or `configs/mini-further.yaml`, which starts from the bundled weights. Before anything is
copied, all of this is checked:

- every file that the package bundles was made, and nothing started from weights other than the
  bundled ones, whose training the card then keeps;
- the parts belong together: one autoencoder, one prior, the codec's own tables, the VGG of the
  features' pseudo-labels, one vocabulary;
- the conditions of every training are known (hours, device, revision), and every training set
  states its licence;
- all files together have at most 40 MB.

`--only` bundles one or two of the models mpd, diff-icmh and tasks: the others need not be made, but
Diff-ICMH needs the run's autoencoder. Diff-ICMH's bundled folder has an autoencoder of its own
exactly where it is another one than MPD's bundled one.

Then the files are copied over `icmbench/weights` of the package that this script imports, and the
three cards are written anew. Tests that state values of the old weights fail afterwards.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.core.errors import IcmbenchError, ModelError
from icmbench.core.files import sha256_bytes, sha256_file, write_bytes, write_json
from icmbench.models.card import first_start, model_card
from icmbench.models.headers import read_header
from icmbench.models.layout import CARD, ModelLayout
from icmbench.tasks import bundled as tasks
from icmbench.training.data import UNSTATED

LIMIT = 40.0  # MB of all weight files
LAYOUTS = (mpd.LAYOUT, icmh.LAYOUT, tasks.LAYOUT)
AUTOENCODER = mpd.AUTOENCODER
# A statement of a file about another: path, the other's name, the statement, and the truth.
Bond = tuple[Path, str, Any, Any]


def main(argv: list[str] | None = None) -> int:
    """Check, copy, describe; exit status 1 with one line on what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of results, whose models are bundled")
    names = [layout.name for layout in LAYOUTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--check", action="store_true", help="check alone, copy nothing")
    arguments = parser.parse_args(argv)
    try:
        conditions = check(arguments.results, arguments.only)
        if not arguments.check:
            for path in bundle(arguments.results, arguments.only, conditions):
                print(path)
    except IcmbenchError as error:
        print(f"bundle.py: {error}", file=sys.stderr)
        return 1
    return 0


def bundled_parts(layout: ModelLayout) -> list[str]:
    """The parts whose files lie in the bundled folder of a model."""
    return [part for part in (*layout.parts, *layout.encoder_parts) if part not in layout.shared]


def made_files(results: Path, layout: ModelLayout) -> dict[str, Path]:
    """The files that a run made of a model, by part; ModelError where one is missing."""
    folder, parts = results / "models" / layout.name, bundled_parts(layout)
    layout.check_folder(folder, parts)
    return {part: layout.part_file(folder, part) for part in parts}


def check(results: Path, names: Sequence[str]) -> list[Path]:
    """Check the models of a run; returns the files of their trainings' conditions.

    Raises ModelError, naming the file, for what cannot be bundled.
    """
    made = {each.name: made_files(results, each) for each in LAYOUTS if each.name in names}
    kept = [each for each in LAYOUTS if each.name not in names]
    files = [path for each in made.values() for path in each.values()]
    files += [path for each in kept for path in each.bundled().glob("*.safetensors")]
    size = sum(path.stat().st_size for path in files) / 1e6
    if size > LIMIT:
        raise ModelError(f"{results}: weights of {size:.1f} MB, {LIMIT:g} MB at most")
    conditions = sorted((results / "training" / "conditions").glob("*.json"))
    known = {digest for path in conditions for digest in _read(path)["files"].values()}
    for path, bundled in _with_bundled(made):
        digest = sha256_file(path)
        if digest in bundled and any(_start(other) in bundled for other in path.parent.glob("*")):
            continue  # a part that this run left as it is, where others started from such parts
        _check_origin(path, bundled)
        if digest not in known:
            raise ModelError(
                f"{path}: no file of {results}/training/conditions is of this training: make the "
                "weights by the target `models`"
            )
    bonds = [*_bonds_of_mpd(made[mpd.NAME])] if mpd.NAME in made else []
    bonds += _bonds_of_icmh(results, made[icmh.NAME]) if icmh.NAME in made else []
    for path, what, stated, right in bonds:
        if stated != right:
            raise ModelError(
                f"{path}: made with another {what} ({stated}) than the one beside it ({right}): "
                "run the target `models` again"
            )
    return conditions


def bundle(results: Path, names: Sequence[str], conditions: list[Path]) -> Iterator[Path]:
    """Copy the files of a checked run and write the cards; yields the written paths."""
    home = icmh.bundled()
    autoencoder = icmh.part_file(home, AUTOENCODER).read_bytes()
    if icmh.NAME in names:
        autoencoder = _shared_copy(results).read_bytes()
    for layout in (each for each in LAYOUTS if each.name in names):
        for part, path in made_files(results, layout).items():
            target = layout.part_file(layout.bundled(), part)
            write_bytes(target, path.read_bytes())
            yield target
    own = home / f"{AUTOENCODER}.safetensors"
    own.unlink(missing_ok=True)
    if sha256_file(icmh.part_file(home, AUTOENCODER)) != sha256_bytes(autoencoder):
        write_bytes(own, autoencoder)
        yield own
    for layout in (each for each in LAYOUTS if each.name in names):
        card = layout.bundled() / CARD
        write_json(card, model_card(layout, layout.bundled(), conditions=conditions))
        yield card


def _with_bundled(made: Mapping[str, Mapping[str, Path]]) -> Iterator[tuple[Path, set[str]]]:
    """The files of a run, each with the digests of the bundled files of its model."""
    for layout in (each for each in LAYOUTS if each.name in made):
        bundled = {sha256_file(path) for path in layout.bundled().glob("*.safetensors")}
        for path in made[layout.name].values():
            yield path, bundled


def _start(path: Path) -> str:
    """Name the start of a weight file's trainings: "scratch", or the digest of a file."""
    about = read_header(path).get("provenance") or {} if path.suffix == ".safetensors" else {}
    return first_start(about) or "scratch"


def _check_origin(path: Path, bundled: set[str]) -> None:
    """ModelError where a file started from none of the bundled ones, or data have no licence."""
    about = read_header(path).get("provenance")
    if about is None:
        return  # tables, which `_bonds` checks
    if "from" in about:
        raise ModelError(f"{path}: imported, with its publisher's licence: not bundled")
    if (started := _start(path)) not in {"scratch", *bundled}:
        raise ModelError(
            f"{path}: its training started from {started}: neither from scratch nor from the "
            "bundled file"
        )
    for licence in about.get("pool", {}).get("licences", []):
        if licence.endswith(UNSTATED):
            raise ModelError(f"{path}: {licence}: set `licence` in training.data")


def _bonds_of_mpd(own: Mapping[str, Path]) -> Iterator[Bond]:
    autoencoder = sha256_file(own[AUTOENCODER])
    for part in ("contexts", "reverse", *(f"features-{kind}" for kind in mpd.KINDS)):
        yield own[part], "autoencoder", read_header(own[part])[mpd.AUTOENCODER], autoencoder
    for kind in mpd.KINDS:
        path = own[f"features-{kind}"]
        labels = read_header(path)["provenance"]["labels"]
        yield path, "VGG", labels["network"], sha256_file(own["vgg"])


def _bonds_of_icmh(results: Path, theirs: Mapping[str, Path]) -> Iterator[Bond]:
    copy = _shared_copy(results)
    mpds = results / "models" / mpd.NAME / copy.name
    autoencoder, prior = sha256_file(mpds), sha256_file(theirs["prior"])
    yield copy, AUTOENCODER, sha256_file(copy), autoencoder
    for part in ("prior", "tagger", "codec", "control"):
        stated = read_header(theirs[part])["provenance"]["autoencoder"]
        yield theirs[part], AUTOENCODER, stated, autoencoder
    for part in ("codec", "control"):
        yield theirs[part], "prior", read_header(theirs[part])["provenance"]["prior"], prior
    tables = theirs["tables"]
    yield tables, "codec", read_header(tables)["codec"], sha256_file(theirs["codec"])
    words = [read_header(theirs[part])["network"]["vocabulary"] for part in ("tagger", "prior")]
    yield theirs["tagger"], "vocabulary", *words


def _shared_copy(results: Path) -> Path:
    """The autoencoder of a run's Diff-ICMH; ModelError where it is missing."""
    path = results / "models" / icmh.NAME / f"{AUTOENCODER}.safetensors"
    if not path.is_file():
        raise ModelError(f"{path}: missing: run the target `models`")
    return path


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


if __name__ == "__main__":
    sys.exit(main())

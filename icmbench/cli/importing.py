"""`icmbench import-...`, `icmbench trust`: published networks and their files."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from icmbench.cli.arguments import Sub, add_command, path_if_given, written


def add_imports(sub: Sub) -> None:
    """Add the subcommands."""
    _checkpoint(sub)
    _tagger(sub)
    _trust(sub)
    _zoo(sub)


def _checkpoint(sub: Sub) -> None:
    parser = add_command(
        sub,
        import_diff_icmh,
        "convert a published checkpoint of Diff-ICMH to a folder that the codec diff-icmh loads",
        "icmbench import-diff-icmh model.ckpt --out models/diff-icmh --base v2-1.ckpt \\\n"
        "      --tokenizer downloads/stable-diffusion-2-1-tokenizer \\\n"
        "      --tags downloads/ram-tags/ram_tag_list.txt\n"
        "  icmbench import-diff-icmh lambda32.ckpt lambda16.ckpt --out models/diff-icmh\n"
        "  icmbench encode photo.png photo.icb --codec diff-icmh:rate=1 --models models\n\n"
        "Several checkpoints are the rates of one model, the lowest rate first; the networks that\n"
        "they have in common are stored and loaded once.\n"
        "Without --tokenizer and --tags, put vocab.json and merges.txt into OUT/tokenizer and the\n"
        "names of the tags, one a line, into OUT/tags.txt.",
    )
    parser.add_argument(
        "checkpoint",
        nargs="+",
        help=".ckpt, .pt or .safetensors with the published names; one per rate, lowest rate first",
    )
    parser.add_argument(
        "--out", type=written, required=True, metavar="DIR", help="the folder to make"
    )
    parser.add_argument(
        "--base", metavar="FILE", help="Stable Diffusion 2.1, for what the checkpoint lacks"
    )
    parser.add_argument(
        "--tokenizer",
        metavar="DIR",
        help="vocab.json and merges.txt of Stable Diffusion 2.1: checked and copied",
    )
    parser.add_argument(
        "--tags", metavar="FILE", help="the names of the tags, one a line: checked and copied"
    )
    parser.add_argument(
        "--tagger", metavar="FILE", help="RAM++, with --tags and --thresholds; see import-ram-plus"
    )
    parser.add_argument("--thresholds", metavar="FILE", help="the tags' thresholds, one a line")
    parser.add_argument(
        "--head-width", type=int, default=64, help="of the prior's attention; default: 64"
    )
    parser.add_argument(
        "--control-head-width", type=int, default=16, help="of the control network's; default: 16"
    )


def _tagger(sub: Sub) -> None:
    parser = add_command(
        sub,
        import_ram_plus,
        "convert RAM++ to the tagger of a folder that import-diff-icmh made",
        "icmbench import-ram-plus downloads/ram-plus/ram_plus_swin_large_14m.pth \\\n"
        "      --model models/diff-icmh \\\n"
        "      --thresholds downloads/ram-thresholds/ram_tag_list_threshold.txt\n\n"
        "The folder has the names of the tags (tags.txt) already. Streams do not depend on the\n"
        "tagger: it may be added or removed at any time.",
    )
    parser.add_argument(
        "checkpoint",
        help="RAM++'s own file, or a checkpoint of Diff-ICMH, which holds the same network",
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="the model folder")
    parser.add_argument(
        "--thresholds",
        required=True,
        metavar="FILE",
        help="the score above which a tag is chosen, one a line",
    )


def _trust(sub: Sub) -> None:
    parser = add_command(
        sub,
        trust,
        "allow a checkpoint that holds more than tensors, by the sha256 that is published for it",
        "icmbench trust model.ckpt\n"
        "  icmbench trust model.ckpt --sha256 9f86d081884c7d65…\n\n"
        "Without --sha256 it prints the file's digest and what the file holds beside tensors.\n"
        "A trusted file's tensors are read; the other objects are left out and never run. The\n"
        "digest is kept beside the file, as FILE.trusted: a file that changes is refused again.",
    )
    parser.add_argument("file", help="a file of torch.save: .ckpt, .pt, .pth")
    parser.add_argument("--sha256", metavar="DIGEST", help="64 digits, as the publisher states it")


def _zoo(sub: Sub) -> None:
    parser = add_command(
        sub,
        import_zoo,
        "convert published checkpoints of CompressAI to folders that the zoo's codecs load",
        "icmbench fetch bmshj2018-hyperprior\n"
        "  icmbench import-zoo downloads/bmshj2018-hyperprior/*.pth.tar --out models\n"
        "  icmbench encode photo.png photo.icb --codec bmshj2018-hyperprior:quality=3 \\\n"
        "      --models models\n\n"
        "The name of a file says codec, metric, quality and the first digits of its sha256.",
    )
    parser.add_argument("checkpoint", nargs="+", help="files of their published names (.pth.tar)")
    parser.add_argument(
        "--out", type=written, required=True, metavar="DIR", help="the folder of all models"
    )


def import_zoo(arguments: Namespace) -> None:
    """`icmbench import-zoo CHECKPOINT… --out MODELS`."""
    from icmbench.codecs.zoo.importing import import_checkpoint

    for name in arguments.checkpoint:
        print(import_checkpoint(Path(name), Path(arguments.out)), flush=True)


def import_diff_icmh(arguments: Namespace) -> None:
    """`icmbench import-diff-icmh CHECKPOINT… --out DIR`."""
    from icmbench.codecs.diff_icmh.importing.importer import import_checkpoint

    report = import_checkpoint(
        Path(arguments.checkpoint[0]),
        Path(arguments.out),
        further=[Path(name) for name in arguments.checkpoint[1:]],
        base=Path(arguments.base) if arguments.base else None,
        head_width=arguments.head_width,
        control_head_width=arguments.control_head_width,
        tokenizer=path_if_given(arguments.tokenizer),
        tags=path_if_given(arguments.tags),
        tagger=path_if_given(arguments.tagger),
        thresholds=path_if_given(arguments.thresholds),
    )
    for line in report.lines():
        print(line)
    given = {"tokenizer/": arguments.tokenizer, "tags.txt": arguments.tags}
    missing = [name for name, value in given.items() if not value]
    left = f"; {' and '.join(missing)} must still be put there" if missing else ""
    print(f"{arguments.out}: complete{left}")


def import_ram_plus(arguments: Namespace) -> None:
    """`icmbench import-ram-plus CHECKPOINT --model DIR --thresholds FILE`."""
    from icmbench.codecs.diff_icmh.importing.ram_plus import read_ram_plus
    from icmbench.codecs.diff_icmh.model_folder import VOCABULARY

    model, thresholds = Path(arguments.model), Path(arguments.thresholds)
    found = read_ram_plus(Path(arguments.checkpoint), model / VOCABULARY, thresholds)
    found.write(model)
    settings = found.settings
    size = f"{settings.tags} tags of {settings.descriptions} descriptions, {settings.image} pixels"
    print(f"{model}: complete with a tagger ({size})")


def trust(arguments: Namespace) -> None:
    """`icmbench trust FILE [--sha256 DIGEST]`."""
    from icmbench.core.files import sha256_file
    from icmbench.core.pickles import UnsafePickle, load_pickle
    from icmbench.core.trust import trust as write_note

    path = Path(arguments.file)
    if arguments.sha256:
        print(f"{write_note(path, arguments.sha256)}: {path} is trusted")
        return
    try:
        load_pickle(path, mapped=True)
    except UnsafePickle as error:
        print(f"{path}: beside tensors: {', '.join(error.objects)}")
        print(f"sha256 {sha256_file(path)}: where the publisher states the same, give it: --sha256")
    else:
        print(f"{path}: is read as it is, no trust is needed")

"""Keys of a definition: of a codec that runs programs, and of one that reads a folder."""

from __future__ import annotations

from typing import Final

from icmbench.core.schema import REQUIRED, Schema, array, choice, flag, integer, section, string

TEXT: Final = {"type": "string", "minLength": 1}
PLACEHOLDER: Final = "^[a-z][a-z0-9_]*$"
PICTURES: Final = (
    "png", "ppm", "yuv420p8", "yuv420p10", "yuv444p8", "yuv444p10", "y4m420p8", "y4m420p10",
    "y4m444p8", "y4m444p10",
)  # fmt: skip
FORMATS: Final = section(
    {
        "input": choice([*PICTURES], "file that the encoder reads; yuv is raw and planar"),
        "output": choice([*PICTURES], "file that the decoder writes"),
        "matrix": choice(
            ["bt709", "bt601", "bt2020", "gbr"],
            "of YUV files; gbr: the planes G, B, R without a conversion, in 4:4:4 only",
        ),
        "range": choice(["limited", "full"], "of YUV files"),
        "chroma": choice(["left", "center", "topleft"], "position of the chroma samples of 4:2:0"),
    },
    "of the pictures that the programs read and write",
)


def _commands(text: str) -> Schema:
    """One command, or several that run one after the other."""
    several = {"type": "array", "items": TEXT, "minItems": 1}
    return {"anyOf": [TEXT, several], "description": text}


def _texts(text: str, names: str = "") -> Schema:
    """A mapping of texts; `names`: pattern of its keys."""
    return {
        "type": "object",
        "default": {},
        "description": text,
        "propertyNames": {"pattern": names},
        "additionalProperties": {"type": "string"},
    }


KEY: Final = {
    "anyOf": [
        {"enum": ["int", "float"]},
        section(
            {
                "type": choice(["int", "float", "text"]),
                "default": {"type": ["number", "string"]},
                "low": {"type": "number"},
                "high": {"type": "number"},
                "choices": {"type": "array", "items": {"type": ["number", "string"]}},
                "help": {"type": "string"},
            },
            required=["type"],
        ),
    ]
}
COMMAND: Final[dict[str, Schema]] = {
    "encode": _commands(
        "command, or list of commands, that writes the stream; placeholders: {input} {output} "
        "{width} {height} {threads} {tmp}, the keys, and the names of `paths`"
    ),
    "decode": _commands("the same for the picture: it gets the stream alone"),
    "version": _commands("command whose first line is the version; several are joined"),
    "version_line": string("", "regular expression of the line to keep instead"),
    "formats": FORMATS,
    "keys": {
        "type": "object",
        "default": {},
        "description": "keys of its specs: int, float, or type with default, low, high, choices, "
        "help; a key is used in `encode` or in `decode`",
        "propertyNames": {"pattern": PLACEHOLDER},
        "additionalProperties": KEY,
    },
    "paths": _texts("placeholder -> a path; ${NAME} is an environment variable", PLACEHOLDER),
    "files": array(TEXT, [], "files that the programs need, such as '{home}/intra.cfg'"),
    "debian": _texts("program -> the Debian package that has it"),
    "extension": {
        **string("bin", "suffix of its files, without dot"),
        "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    },
    "memory_mb": integer(0, "limit of the address space of its programs; 0: none", low=0),
    "lossless": flag(False, "whether reconstructions must equal originals"),
    "title": string("", "name in `icmbench codecs` and `info`; its own name if empty"),
    "settings": string("", "what the commands do, in one sentence of the tables' notes"),
    "source": string("", "where the command lines are from"),
}
FOLDER: Final[dict[str, Schema]] = {
    "path": {
        **string(
            REQUIRED,
            "folder of results made elsewhere: `<point>/<image id>.png` and the stream beside it, "
            "or bytes.csv (docs/external-codecs.md); with several data sets, "
            "`<data set>/<point>/…`",
        ),
        "minLength": 1,
    },
    "title": COMMAND["title"],
    "settings": COMMAND["settings"],
}
KINDS: Final = {
    "command": section(COMMAND, required=["encode", "decode"]),
    "folder": section(FOLDER, required=["path"]),
}
TEXTS: Final = ("debian", "settings", "source", "title")  # only printed
# Of an entry of the configuration.
ENTRY: Final[dict[str, Schema]] = {**COMMAND, **FOLDER}

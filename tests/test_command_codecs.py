"""Codecs of command templates: bytes of the program, failures as sentences, nothing left behind."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_picture
from stub_programs import pillow_entry, write_program, write_stubs

from icmbench.codecs import registry
from icmbench.codecs.external import versions
from icmbench.codecs.external.definitions import definition_of
from icmbench.codecs.registry import codec_class, codec_of
from icmbench.codecs.specs import parse_spec
from icmbench.config.models import coding_settings
from icmbench.core.errors import CodecError, ConfigError, CorruptStream, ProgramCrashed
from icmbench.evaluation.codec_process import CodecProcess, Failed, Setup


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_DEFINED", {})


def python(folder: Path, name: str, text: str) -> str:
    """A command that runs a Python text."""
    (folder / name).write_text(text, encoding="utf-8")
    return f"{sys.executable} {folder / name}"


COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"


def copying(folder: Path, **more: Any) -> dict[str, Any]:
    """An entry whose programs copy their input."""
    run = python(folder, "copy.py", COPY)
    both = f"{run} {{input}} {{output}}"
    return {"codec": "command", "encode": both, "decode": both, "points": [{}], **more}


def make(entry: dict[str, Any], name: str = "mine") -> Any:
    return codec_of({name: entry}, name)()


def process(entry: dict[str, Any], name: str = "mine", **more: Any) -> CodecProcess:
    definition = definition_of({name: entry}, name)
    return CodecProcess(Setup(name, definition=definition, **more))


@pytest.mark.parametrize(
    ("kind", "built_in", "quality"), [("WEBP", "webp", 20), ("JPEG", "jpeg", 45)]
)
def test_the_library_of_a_built_in_codec_gives_the_same(
    kind: str, built_in: str, quality: int, tmp_path: Path
) -> None:
    """Byte for byte, and pixel for pixel, through a process of its own each time."""
    picture = make_picture(61, 83)
    own = codec_class(built_in)()
    expected = own.encode(picture, quality=quality)
    entry = pillow_entry(
        tmp_path, kind, decode=pillow_entry(tmp_path)["decode"], extension=own.extension
    )
    with process(entry) as running:
        stream = running.call("encode", [("quality", quality)], image=picture)["stream"]
        (tmp_path / "stream").write_bytes(stream)
        decoded = running.call("decode", [], path=str(tmp_path / "stream"))["image"]
    assert stream == expected
    assert np.array_equal(decoded, own.decode(expected))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"encode": "x {inptu} {output}"},
            r"encode: unknown placeholder 'inptu': did you mean 'input'",
        ),
        ({"encode": "x {input}"}, r"encode: no \{output\} in it"),
        ({"decode": "x {output}"}, r"decode: no \{input\} in it"),
        ({"encode": "x '{input} {output}"}, r"encode: No closing quotation"),
        ({"encode": "x {input} {output} }"}, r"encode: Single '\}'"),
        ({"decode": "x {input:5} {output}"}, r"decode: \{input\} has a format"),
        ({"keys": {"qp": "int"}}, r"keys: qp is used neither in encode nor in decode"),
        ({"keys": {"qp": "integer"}}, r"keys\.qp"),
        ({"keys": {"tmp": "int"}}, r"tmp: the name is taken"),
        ({"keys": {"seed": "int"}}, r"seed: the name is taken"),
        (
            {
                "keys": {"q": "int"},
                "encode": "x {input} {output} {q}",
                "decode": "y {input} {output} {q}",
            },
            r"decode: \{q\} is a key of encode; a decoder gets the file alone",
        ),
        (
            {"keys": {"q": {"type": "text"}}, "encode": "x {input} {output} {q}"},
            r"keys\.q: a text has choices",
        ),
        ({"formats": {"input": "yuv420p8", "matrix": "gbr"}}, r"gbr has no chroma planes"),
        ({"formats": {"input": "yuv422p8"}}, r"formats\.input: 'yuv422p8' is not one of"),
        ({"version": "x {input}"}, r"version: unknown placeholder 'input'"),
        ({"version": "x", "version_line": "("}, r"version_line"),
        ({"files": ["{tmp"]}, r"files: expected '\}'"),
        ({"files": ["{tmp}"]}, r"files: unknown placeholder 'tmp'"),
        ({"encode": "x {input} {output} {width:04}"}, r"\{width\} has a format"),
        ({"encode": "x {input!r} {output}"}, r"\{input\} has a format"),
        ({"encode": "x {input} {output} {width:{foo}}"}, r"\{width\} has a format"),
        ({"encode": "{tmp}/x {input} {output}"}, r"encode: the program: unknown placeholder 'tmp'"),
        ({"keys": {"image": "int"}}, r"image: the name is taken"),
        ({"keys": {"stream": "int"}}, r"stream: the name is taken"),
        ({"keys": {"cls": "int"}}, r"cls: the name is taken"),
        (
            {"keys": {"q": {"type": "text", "choices": ["a"], "low": 1}}},
            r"keys\.q: low and high are of numbers",
        ),
        (
            {"keys": {"q": {"type": "text", "choices": ["a", "../b"]}}},
            r"keys\.q\.choices: '\.\./b': it stands in names of files",
        ),
        ({"keys": {"q": {"type": "int", "choices": ["a"]}}}, r"keys\.q\.choices=a"),
        ({"extension": "../x"}, r"extension: '\.\./x' does not match"),
        ({"paths": {"a.b": "/x"}}, r"paths: 'a\.b' does not match"),
        ({"path": "/x"}, r"unknown key of `codec: command` 'path'"),
        ({"encode": []}, r"encode"),
    ],
)
def test_a_wrong_definition_is_one_sentence(
    change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        make({**copying(tmp_path), **change})
    assert "\n" not in str(caught.value)


def test_names_and_keys_of_other_codecs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="webp is the name of another codec: rename"):
        make(copying(tmp_path), "webp")
    with pytest.raises(ConfigError, match="lower-case letters"):
        make(copying(tmp_path), "My_Codec")
    with pytest.raises(ConfigError, match=r"encode: keys of `codec: command`.*webp is neither"):
        make({"codec": "webp", "encode": "x", "points": [{"quality": 1}]})
    with pytest.raises(ConfigError, match=r"unknown codec 'x256': did you mean 'x265'"):
        make({"codec": "x256", "points": [{}]})
    with pytest.raises(ConfigError, match=r"unknown codec 'vmt'"):
        parse_spec("vmt:qp=3")


def test_words_reach_a_program_as_they_are(tmp_path: Path) -> None:
    """No shell, no input, an empty folder, and no search path of this package."""
    note = tmp_path / "note"
    spy = python(
        tmp_path, "spy.py",
        "import json, os, pathlib, shutil, sys\n"
        f"pathlib.Path({str(note)!r}).write_text(json.dumps([sys.argv[3:], sys.stdin.read(), "
        "os.listdir(), os.getcwd(), os.environ.get('PYTHONSAFEPATH')]))\n"
        "shutil.copy(sys.argv[1], sys.argv[2])\n",
    )  # fmt: skip
    words = "';ls' $HOME '*' 'a b' {{x}} {tmp} {threads} {width}x{height}".replace("'*'", "*")
    entry = copying(tmp_path, encode=f"{spy} {{input}} {{output}} {words}")
    with process(entry, threads=3) as running:
        running.call("encode", [], image=make_picture(20, 30))
    given, read, listed, here, safe = json.loads(note.read_text("utf-8"))
    assert given[:5] == [";ls", "$HOME", "*", "a b", "{x}"]
    assert given[5:] == [here, "3", "30x20"]
    assert (read, listed, safe) == ("", [], None)


def test_paths_begin_where_the_run_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of programs and of `paths`: the programs run elsewhere."""
    write_program(tmp_path / "codec" / "run", '#!/bin/sh\ncp "$1" "$2"\n')
    monkeypatch.chdir(tmp_path)
    picture = make_picture(20, 30)
    for home, start in (("codec", "{home}/run"), ("./codec", "{home}/run"), (".", "./codec/run")):
        both = f"{start} {{input}} {{output}}"
        codec = make(copying(tmp_path, encode=both, decode=both, paths={"home": home}))
        assert codec.unavailable() == ""
        assert np.array_equal(codec.decode(codec.encode(picture)), picture)
    names = make(copying(tmp_path, paths={"python": "python3"})).commands
    assert names.places() == {"python": "python3"}


def test_choices_of_texts_may_be_numbers(tmp_path: Path) -> None:
    entry = copying(tmp_path, keys={"mode": {"type": "text", "choices": [420, 444]}})
    entry["encode"] += " {mode}"
    make(entry)
    assert parse_spec("mine:mode=420").spec == "mine:mode=420"


def test_steps_run_one_after_the_other(tmp_path: Path) -> None:
    copy = python(tmp_path, "copy.py", COPY)
    steps = [f"{copy} {{input}} {{tmp}}/between", f"{copy} {{tmp}}/between {{output}}"]
    codec = make(copying(tmp_path, encode=steps))
    picture = make_picture(20, 30)
    assert np.array_equal(codec.decode(codec.encode(picture)), picture)
    codec = make(
        copying(tmp_path, encode=[f"{copy} {{input}} {{tmp}}/a", f"{copy} {{tmp}}/b {{output}}"])
    )
    with pytest.raises(CodecError, match=r"exit code 1: .*No such file"):
        codec.encode(picture)


@pytest.mark.parametrize(
    ("body", "error", "sentence"),
    [
        ("print('x'); sys.exit('a\\nb\\nc\\nend')", CodecError, r"exit code 1: b / c / end$"),
        ("print('spoken'); sys.exit(3)", CodecError, r"exit code 3: spoken"),
        ("print('all well')", CodecError, r"ended without an error and wrote no file: all well"),
        ("open(sys.argv[2], 'w')", CodecError, r"the encoder's file is empty"),
        ("sys.exit('a\\x1b[1m\\0b')", CodecError, r"exit code 1: a \[1m b$"),
        ("os.kill(os.getpid(), 11)", ProgramCrashed, r"ended by SIGSEGV"),
        ("os.kill(os.getpid(), 40)", ProgramCrashed, r"ended by signal 40"),
        ("print('x' * 10**7); print('end'); sys.exit(1)", CodecError, r"exit code 1: x+ / end$"),
    ],
)  # fmt: skip
def test_a_failing_encoder(
    body: str, error: type[CodecError], sentence: str, tmp_path: Path
) -> None:
    run = python(tmp_path, "fails.py", f"import os, sys\n{body}\n")
    codec = make(copying(tmp_path, encode=f"{run} {{input}} {{output}}"))
    with pytest.raises(error, match=sentence):
        codec.encode(make_picture(20, 30))


def test_keys_have_their_defaults(tmp_path: Path) -> None:
    run = python(tmp_path, "key.py", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])")
    rules = {"q": "int", "effort": {"type": "float", "default": 0.5}}
    codec = make(
        copying(tmp_path, encode=f"{run} {{output}} {{q}}/{{effort}} {{input}}", keys=rules)
    )
    assert codec.encode(make_picture(9, 9), q=3) == b"3/0.5"
    with pytest.raises(ConfigError, match="codec mine needs q: a whole number"):
        codec.encode(make_picture(9, 9))


def test_a_program_that_a_signal_ends_is_a_crash(tmp_path: Path) -> None:
    run = python(tmp_path, "fails.py", "import os; os.kill(os.getpid(), 9)")
    with process(copying(tmp_path, encode=f"{run} {{input}} {{output}}")) as running:
        with pytest.raises(Failed, match="SIGKILL") as caught:
            running.call("encode", [], image=make_picture(20, 30))
        assert caught.value.code == "crashed"


def test_memory_is_limited(tmp_path: Path) -> None:
    run = python(tmp_path, "large.py", "x = bytearray(3 << 30)")
    codec = make(copying(tmp_path, encode=f"{run} {{input}} {{output}}", memory_mb=1000))
    with pytest.raises(CodecError, match="MemoryError"):
        codec.encode(make_picture(20, 30))


SLEEPER = """#!/bin/sh
sleep 300 &
echo $$ $! $(dirname $1) > $3
sleep 300
"""


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_time_limit_ends_a_program_and_its_children(tmp_path: Path) -> None:
    """And their files are removed, though the process that made them was killed."""
    run = write_program(tmp_path / "sleeps", SLEEPER)
    note = tmp_path / "note"
    entry = copying(tmp_path, encode=f"{run} {{input}} {{output}} {note}")
    with process(entry, seconds=4.0) as running, pytest.raises(Failed) as caught:
        running.call("encode", [], image=make_picture(20, 30))
    assert caught.value.code == "timeout"
    parent, child, folder = note.read_text().split()
    for _ in range(200):
        if not (_alive(int(parent)) or _alive(int(child))):
            break
        time.sleep(0.05)
    assert not _alive(int(parent))
    assert not _alive(int(child))
    assert not Path(folder).exists()


def writes(folder: Path, statement: str) -> str:
    """A decoder that writes what a statement says, whatever it reads."""
    text = f"import sys\nfrom PIL import Image\ntarget = sys.argv[2]\n{statement}\n"
    return python(folder, "writes.py", text) + " {input} {output}"


@pytest.mark.parametrize(
    ("formats", "statement", "sentence"),
    [
        (
            "png",
            "Image.new('I;16', (30, 20)).save(target)",
            "16-bit samples, expected is 8-bit RGB",
        ),
        ("png", "Image.new('RGBA', (30, 20)).save(target)", "mode RGBA"),
        ("png", "open(target, 'wb').write(b'no picture')", "no readable picture"),
        ("ppm", "open(target, 'wb').write(b'P6 2 1 65535\\n' + bytes(12))", "16-bit samples"),
        ("ppm", "open(target, 'wb').write(b'P3 1 1 65535 1 2 3 ')", "16-bit samples"),
        ("yuv444p8", "open(target, 'wb').write(bytes(3600))", "another size or depth"),
        ("yuv420p10", "open(target, 'wb').write(bytes(900))", "has 1800: another size or depth"),
        (
            "y4m420p8",
            "open(target, 'wb').write(b'YUV4MPEG2 W30 H20 F1:1 C444\\nFRAME\\n' + bytes(1800))",
            "wrote samples C444, expected is 4:2:0 8-bit",
        ),
        (
            "y4m444p10",
            "open(target, 'wb').write(b'YUV4MPEG2 W30 H20 F1:1 C444p10\\nFRAME\\n' + bytes(30))",
            "another size or depth",
        ),
    ],
)
def test_pictures_of_another_form_are_refused(
    formats: str, statement: str, sentence: str, tmp_path: Path
) -> None:
    entry = copying(tmp_path, formats={"output": formats}, decode=writes(tmp_path, statement))
    codec = make(entry)
    with pytest.raises(CodecError, match=sentence):
        codec.decode(codec.encode(make_picture(20, 30)))


@pytest.mark.parametrize("size", [(20, 30), (21, 30), (20, 31), (133, 201)])
@pytest.mark.parametrize("name", ["yuv420p8", "yuv420p10", "yuv444p8", "yuv444p10"])
@pytest.mark.parametrize("container", ["yuv", "y4m"])
def test_planar_files_keep_size_and_colours(
    container: str, name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """The file alone gives the size; the header is as long as stated."""
    form = name.replace("yuv", container)
    codec = make(copying(tmp_path, formats={"input": form, "output": form}))
    picture = make_picture(*size)
    stream = codec.encode(picture)
    plain = make(copying(tmp_path, formats={"input": form, "output": "png"}), "other")
    sides = [side + side % 2 if "420" in name else side for side in size]
    samples = sides[0] * sides[1] * (1.5 if "420" in name else 3) * (2 if "p10" in name else 1)
    varints = sum(1 if side < 128 else 2 for side in size)
    if container == "yuv":
        assert len(stream) == samples + varints
        assert plain.commands.header == ("parity" if "420" in name else "none")
    else:
        head = len(stream) - samples - ("420" in name)
        assert stream["420" in name :].startswith(b"YUV4MPEG2 W")
        assert stream[int(head) - 6 + ("420" in name) :].startswith(b"FRAME\n")
    decoded = codec.decode(stream)
    assert decoded.shape == picture.shape
    error = np.abs(decoded.astype(int) - picture)
    if name == "yuv444p10":
        assert error.max() == 0
    elif "444" in name:
        assert error.max() <= 3
    else:
        assert error.mean() < 6


def test_damaged_headers_are_refused(tmp_path: Path) -> None:
    raw = make(copying(tmp_path, formats={"input": "yuv420p8", "output": "yuv420p8"}))
    for stream in (b"", b"\x85", b"\xff\xff\xff\xff", b"\x00\x10" + bytes(99)):
        with pytest.raises(CodecError):
            raw.decode(stream)
    odd = make(copying(tmp_path, formats={"input": "yuv420p8", "output": "y4m420p8"}), "odd")
    with pytest.raises(CorruptStream, match="the first byte is 4"):
        odd.decode(b"\x04" + bytes(9))


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("VTM_HOME", "JPEG_AI_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert codec_class("vtm").unavailable() == (
        "set the environment variable VTM_HOME (docs/external-codecs.md)"
    )
    monkeypatch.setenv("VTM_HOME", str(tmp_path))
    assert codec_class("vtm").unavailable() == (
        f"the program {tmp_path}/bin/EncoderAppStatic is no program"
    )
    write_stubs(tmp_path)
    monkeypatch.setenv("VTM_HOME", str(tmp_path / "vtm"))
    (tmp_path / "vtm/cfg/encoder_intra_vtm.cfg").unlink()
    assert "encoder_intra_vtm.cfg is missing" in codec_class("vtm").unavailable()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert codec_class("x265").unavailable() == (
        "the program x265 is not on PATH; Debian has it in the package x265"
    )
    with pytest.raises(CodecError, match="x265 is not on PATH"):
        codec_class("x265")().encode(make_picture(20, 30), qp=30)


def test_entries_that_refer_to_definitions(tmp_path: Path) -> None:
    entries = {
        "mine": copying(tmp_path, title="Mine"),
        "again": {"codec": "mine", "points": [{}]},
        "vtm": {"points": [{"qp": 30}]},
        "vtm-there": {"codec": "vtm", "paths": {"vtm": "/opt/vtm"}, "points": [{"qp": 30}]},
        "x265": {"settings": "changed", "points": [{"qp": 30}]},
        "more": {"codec": "x265", "points": [{"qp": 31}]},
        "webp": {"points": [{"quality": 3}]},
    }
    found = {name: codec_of(entries, name) for name in entries}
    assert found["again"] is found["mine"]
    assert {name: codec.name for name, codec in found.items()} == {
        "mine": "mine", "again": "mine", "vtm": "vtm", "vtm-there": "vtm-there", "x265": "x265",
        "more": "x265", "webp": "webp",
    }  # fmt: skip
    assert found["vtm-there"].commands.names()[0] == "/opt/vtm/bin/EncoderAppStatic"
    assert found["vtm-there"].encode_keys == found["vtm"].encode_keys
    assert found["x265"].settings.startswith("changed")
    assert found["more"].settings.startswith("changed")
    with pytest.raises(ConfigError, match="unknown codec 'b'"):
        codec_of({"a": {"codec": "b", "points": []}, "b": {"codec": "a", "points": []}}, "a")


def run_config(**codecs: Any) -> dict[str, Any]:
    return {
        "codecs": codecs, "device": "cpu", "threads": 1, "limits": {"seconds_per_image": 9},
        "models": None, "results": "results",
    }  # fmt: skip


def test_a_change_concerns_its_own_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Job parameters: templates and versions; of a program that is asked once."""
    monkeypatch.setattr(versions, "_kept", dict)
    asked = tmp_path / "asked"
    program = write_program(
        tmp_path / "program", f"#!/bin/sh\necho x >> {asked}\necho >&2 'a program 1.0'\nexit 4\n"
    )
    kept: dict[str, str] = {}
    monkeypatch.setattr(versions, "_kept", lambda: kept)
    own = copying(tmp_path, version=str(program))
    config = run_config(mine=own, other=copying(tmp_path), webp={"points": [{"quality": 3}]})
    before = {name: coding_settings(config, name) for name in config["codecs"]}
    assert (
        before["mine"]["state"] == "program a program 1.0"
        or before["mine"]["state"] == "a program 1.0"
    )
    assert "definition" not in before["webp"]
    assert coding_settings(config, "mine") == before["mine"]
    assert asked.read_text() == "x\n"
    text = program.read_text().replace("1.0", "1.0.1")
    program.write_text(text)
    changed = {name: coding_settings(config, name) for name in config["codecs"]}
    assert [name for name in before if changed[name] != before[name]] == ["mine"]
    own["encode"] += " --more"
    again = {name: coding_settings(config, name) for name in config["codecs"]}
    assert [name for name in before if again[name] != changed[name]] == ["mine"]


def test_words_that_are_only_printed_change_no_job(tmp_path: Path) -> None:
    own = copying(tmp_path, keys={"q": {"type": "int", "default": 1}})
    own["encode"] += " {q}"
    before = coding_settings(run_config(mine=own), "mine")
    helped = {"q": {"type": "int", "default": 1, "help": "a text"}}
    words = {
        "keys": helped,
        "title": "T",
        "settings": "words",
        "source": "there",
        "debian": {"x": "y"},
    }
    config = run_config(mine={**own, **words})
    assert coding_settings(config, "mine") == before
    assert codec_class("mine").settings.startswith("words")


def test_a_changed_script_or_configuration_is_another_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program itself is an interpreter, which does not change."""
    monkeypatch.setattr(versions, "_kept", dict)
    setting = tmp_path / "a.cfg"
    setting.write_text("1")
    home = {"home": str(tmp_path)}
    codec = make(copying(tmp_path, files=["{home}/a.cfg"], paths=home))
    states = [codec.state()]
    (tmp_path / "copy.py").write_text(COPY + "\n# changed")
    states.append(codec.state())
    setting.write_text("2")
    states.append(codec.state())
    assert len({*states}) == 3
    assert "copy.py sha256" in codec.programs()["version"]
    assert "a.cfg" not in codec.programs()["version"]


def test_a_version_is_asked_anew_where_its_files_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that the command names, and whatever lies in folders that it names."""
    kept: dict[str, str] = {}
    monkeypatch.setattr(versions, "_kept", lambda: kept)
    script, folder = tmp_path / "version.py", tmp_path / "checkout"
    folder.mkdir()
    script.write_text("print('mine 1')")
    assert versions.version_text([sys.executable, str(script)]) == "python mine 1"
    script.write_text("print('mine 10')")
    assert versions.version_text([sys.executable, str(script)]) == "python mine 10"
    for text in ("mine 1", "mine 2"):
        (folder / "VERSION").write_text(text)
        asked = versions.version_text(["env", "-C", str(folder), "cat", "VERSION"])
        assert asked == f"env {text}"


def test_programs_are_asked_in_the_environment_in_which_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_kept", dict)
    monkeypatch.setenv("PYTHONPATH", "/ours")
    program = write_program(tmp_path / "p", '#!/bin/sh\necho "version ${PYTHONPATH:-none}"\n')
    assert versions.version_text([str(program)]) == "p version none"


def test_a_program_without_an_answer_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_kept", lambda: {})
    monkeypatch.setattr(versions, "SECONDS", 0.3)
    slow = write_program(tmp_path / "slow", "#!/bin/sh\nexec sleep 20\n")
    assert versions.version_text([str(slow)]) == "slow no version"
    assert versions.version_text(["surely-not-here"]) == "not installed"
    assert shutil.which("sh")
    digest = versions.digest_text("sh")
    assert digest.startswith("sh sha256 ")


def test_temporary_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    codec = make(copying(tmp_path))
    codec.decode(codec.encode(make_picture(20, 30)))
    assert list((tmp_path / "t").iterdir()) == []

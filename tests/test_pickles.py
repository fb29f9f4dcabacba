"""Files of torch.save: tensors are read, other objects are named and not run, damage is typed."""

from __future__ import annotations

import argparse
import builtins
import collections
import logging
import os
import pickle
import random
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from icmbench.cli.main import main
from icmbench.core.errors import ModelError
from icmbench.core.files import sha256_file
from icmbench.core.pickles import UnsafePickle, load_pickle
from icmbench.models.checkpoint import read_checkpoint
from icmbench.tasks.backends.openmm_weights import read_weights
from icmbench.tasks.kinds.fan import load_fan


class Trap:
    """A pickle of it calls a function as it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


class Copying(Trap):
    """A trap of a module that torch's reader does not refuse in any case, as it does `posix`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (shutil.copy, (__file__, str(self.path)))


def test_tensors_and_plain_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for zipped in (True, False):
        torch.save(
            {"a": torch.arange(3), "n": [1, "x"]}, path, _use_new_zipfile_serialization=zipped
        )
        found = load_pickle(path, mapped=True)
        assert found["a"].tolist() == [0, 1, 2]
        assert found["n"] == [1, "x"]


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_are_named_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, sprung = tmp_path / "a.ckpt", tmp_path / "sprung"
    content = {"state_dict": {"a": torch.ones(1)}, "callbacks": Trap(sprung)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafePickle, match=r"posix\.mkdir") as caught:
        load_pickle(path)
    assert "posix.mkdir" in caught.value.objects
    assert "weights_only" not in str(caught.value)
    assert not sprung.exists()


def test_all_objects_of_an_archive_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"a": Path("x"), "b": random.Random(1)}, path)
    with pytest.raises(UnsafePickle) as caught:
        load_pickle(path)
    assert {"random.Random", "pathlib.PosixPath"} <= set(caught.value.objects)


def _of_a_framework(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> type:
    """A class that a pickle names as one of a package which is not installed."""
    parts = module.split(".")
    packages = [".".join(parts[: count + 1]) for count in range(len(parts))]
    for package in packages:
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    found = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, found)
    return found


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_frameworks_are_left_out(
    tmp_path: Path, zipped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Lightning's checkpoints: callbacks by class, configurations with types and states."""
    path = tmp_path / "a.ckpt"
    with pytest.MonkeyPatch.context() as patch:
        callbacks = "pytorch_lightning.callbacks.model_checkpoint"
        callback = _of_a_framework(patch, callbacks, "ModelCheckpoint")
        settings = _of_a_framework(patch, "omegaconf.dictconfig", "DictConfig")()
        settings.__dict__ = {"_content": {"lr": 1}, "_type": dict, "_any": Any}
        content = {
            "epoch": 3,
            "state_dict": {"a": torch.arange(3)},
            "callbacks": {callback: {"best": Path("x.ckpt")}},
            "hyper_parameters": settings,
            "options": argparse.Namespace(lr=1),
            "losses": np.arange(2.0),
            "counts": collections.defaultdict(list, a=[1]),
            "last": collections.deque([1, 2], maxlen=3),
        }
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with caplog.at_level(logging.INFO):
        found = load_pickle(path, mapped=True)
    assert found["state_dict"]["a"].tolist() == [0, 1, 2]
    assert found["epoch"] == 3
    assert found["counts"] == {"a": [1]}
    assert found["last"] == [1, 2]
    assert type(found["options"]).__name__ == "Placeholder"
    assert "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint" in caplog.text
    assert read_checkpoint(path)["a"].tolist() == [0, 1, 2]


def test_a_trap_beside_a_framework_is_not_run(tmp_path: Path) -> None:
    path, sprung = tmp_path / "a.ckpt", tmp_path / "sprung"
    content = {"state_dict": {"a": torch.ones(1)}, "x": Path("x"), "callbacks": Trap(sprung)}
    torch.save(content, path)
    with pytest.raises(UnsafePickle, match=r"posix\.mkdir"):
        load_pickle(path)
    assert not sprung.exists()


@pytest.mark.parametrize("name", ["eval", "exec", "__import__", "open", "print"])
def test_functions_of_python_are_no_placeholders(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"a": getattr(builtins, name)}, path)
    with pytest.raises(UnsafePickle):
        load_pickle(path)


def test_weights_that_are_an_object_are_named(tmp_path: Path) -> None:
    """A placeholder is never taken for tensors."""
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"a": np.ones(2)}}, path)
    with pytest.raises(ModelError, match="'a' is not a plain tensor"):
        read_checkpoint(path)


JUNK = (b"", b"junk", b"<html>404</html>", b"hello", b"J\1", b"(((", b"\x80\x02.", b"PK\3\4")


@pytest.mark.parametrize("junk", JUNK)
def test_a_few_bytes_of_anything(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(junk)
    for read in (load_pickle, load_fan, lambda file: read_weights(file, None)):
        with pytest.raises(ModelError, match="damaged or not a file of weights"):
            read(path)


def test_metadata_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    for meta in (5, {"dataset_meta": 5}, {"dataset_meta": {"classes": 3}}, {"CLASSES": {"a": 1}}):
        torch.save({"state_dict": {"a": torch.ones(1)}, "meta": meta}, path)
        assert read_weights(path, None).classes == ()
    torch.save({"state_dict": {"a": torch.ones(1)}, "meta": {"CLASSES": ["cat"]}}, path)
    assert read_weights(path, None).classes == ("cat",)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_raise_typed_errors_or_hold_values(tmp_path: Path) -> None:
    """2,000 files with bytes changed, cut or doubled: typed errors, or some content."""
    path, source = tmp_path / "a.pth", random.Random(7)
    originals = []
    for zipped in (True, False):
        torch.save({"a": torch.ones(5), "b": [1, "x"]}, path, _use_new_zipfile_serialization=zipped)
        originals.append(path.read_bytes())
    originals.append(pickle.dumps({"a": 1, "b": (2.5, "c")}, protocol=2))
    errors = 0
    for _ in range(2000):
        data = bytearray(source.choice(originals))
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        if source.random() < 0.3:
            del data[source.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            load_pickle(path)
        except ModelError:
            errors += 1
    assert errors > 500


def test_a_checkpoint_as_mmengine_writes_it(tmp_path: Path) -> None:
    """Its message hub holds histories; weights and classes are read without a sha256."""
    from mmengine.logging import HistoryBuffer

    history = HistoryBuffer([1.0, 0.5], [1, 1])
    content = {
        "meta": {"dataset_meta": {"classes": ("cat", "dog")}, "epoch": 12, "cfg": "model = 1"},
        "state_dict": {"a": torch.ones(2)},
        "message_hub": {"log_scalars": {"train/loss": history}, "runtime_info": {"iter": 3}},
    }
    path = tmp_path / "epoch_12.pth"
    torch.save(content, path)
    found = read_weights(path, None)
    assert found.classes == ("cat", "dog")
    assert found.state["a"].tolist() == [1, 1]


@pytest.mark.parametrize("hidden", ["meta", "dataset_meta", "classes"])
def test_class_names_in_an_object_are_no_other_names(tmp_path: Path, hidden: str) -> None:
    """They are not left out in silence; with the file's sha256 they are read."""
    from mmengine import ConfigDict

    classes: Any = ["cat", "dog"]
    classes = ConfigDict(names=classes) if hidden == "classes" else classes
    known: Any = {"classes": classes}
    known = ConfigDict(known) if hidden == "dataset_meta" else known
    meta: Any = {"dataset_meta": known}
    meta = ConfigDict(meta) if hidden == "meta" else meta
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}, "meta": meta}, path)
    with pytest.raises(ModelError, match=f"{hidden} holds a Python object, .* give its sha256"):
        read_weights(path, None)
    found = read_weights(path, sha256_file(path))
    assert found.classes == (("cat", "dog") if hidden != "classes" else ())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_trusted_file_is_read_and_still_not_run(
    tmp_path: Path, zipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trust needs the file's own digest, ends when the file changes, and runs nothing."""
    path, sprung = tmp_path / "a.ckpt", tmp_path / "sprung"

    def save(value: float) -> None:
        content = {"state_dict": {"a": torch.full((1,), value)}, "callbacks": Copying(sprung)}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)

    save(1.0)
    assert main(["trust", str(path)]) == 0
    assert sha256_file(path) in capsys.readouterr().out
    with pytest.raises(UnsafePickle, match="icmbench trust"):
        load_pickle(path)
    assert main(["trust", str(path), "--sha256", "0" * 64]) != 0
    with pytest.raises(UnsafePickle):
        load_pickle(path)
    assert main(["trust", str(path), "--sha256", sha256_file(path).upper()]) == 0
    assert load_pickle(path)["state_dict"]["a"].tolist() == [1.0]
    assert not sprung.exists()
    save(2.0)
    with pytest.raises(ModelError, match="trusted was"):
        load_pickle(path)
    (tmp_path / "a.ckpt.trusted").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        load_pickle(path)

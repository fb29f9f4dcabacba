# What the rules of Diff-ICMH's training share: inputs, outputs and settings of its parts.

ICMH_MODEL = "<results>/models/diff-icmh"
ICMH_TRAINED = TRAINED["diff_icmh"]
VARIANTS = list(TRAINING["variants"])


def icmh_bundled(part):
    """The bundled file of a part, where this run starts from it."""
    if TRAINING["start"] == "scratch":
        return {}
    return {"bundled": str(icmh.part_file(icmh.bundled(), part))}


def icmh_inputs(part):
    """The bundled file, and for a trained part the pool and the autoencoder."""
    files = icmh_bundled(part)
    if part in ICMH_TRAINED:
        home = "<results>/training/pool/{source}"
        files["records"] = expand(f"{home}/records.csv", source=run.training.data)
        files["images"] = expand(f"{home}/images", source=run.training.data)
        files["autoencoder"] = f"<results>/models/{NAME}/autoencoder.safetensors"
    return files


def icmh_settings(part):
    """What decides a trained part's numbers besides its inputs; empty for a bundled one."""
    if part not in ICMH_TRAINED:
        return {}
    shared = {key: TRAINING[key] for key in ("start", "precision", "seed", "crop", "codec")}
    own = {"source_tags": source_tags(TRAINING)}
    # The tagger looks at what the prior was trained on.
    cells = {"cells": TRAINING["prior"]["cells"]}
    return {**cells, **TRAINING[part], **shared, **own, "device": run.config["device"]}


def stage_settings(stage, variant):
    """The settings of a stage, with what is different in a variant of the training."""
    settings = icmh_settings(stage)
    if not settings:
        return {}
    changed = {} if variant == "main" else TRAINING["variants"][variant]
    return {**settings, "codec": {**settings["codec"], **changed}}


def stage_files(stage, variant):
    """Codec, control network and tables behind a stage; behind the last one they are the model's."""
    model = ICMH_MODEL if variant == "main" else f"{ICMH_MODEL}/variants/{variant}"
    place = model if stage == "stage_2" else f"<results>/training/icmh/{variant}"
    return {part: f"{place}/{part}.safetensors" for part in ("codec", "control", "tables")}


def stage_inputs(stage, variant="{variant}"):
    """What a stage starts from: the stage before it, or the bundled codec."""
    files = icmh_inputs(stage)
    files.pop("bundled", None)
    if stage == "stage_2":
        files |= {f"start_{k}": v for k, v in stage_files("stage_1", variant).items()}
    elif TRAINING["start"] == "bundled":
        bundled_parts = ("codec", "control", "tables")
        files |= {f"start_{k}": str(icmh.part_file(icmh.bundled(), k)) for k in bundled_parts}
    if stage in ICMH_TRAINED:
        files["prior"] = f"{ICMH_MODEL}/prior.safetensors"
    return files

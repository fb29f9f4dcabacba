# What the rules of training share: the inputs, outputs and settings of one part of the model.

from icmbench.configuration import training_sources

TRAINING = run.config["training"]

# What decides a part's numbers besides its own amounts: the tables are counted, not learned.
SHARED = {
    "autoencoder": ("start", "precision", "crop", "seed"),
    "contexts": ("crop",),
    "reverse": ("start", "precision", "seed"),
}


def training_inputs(part):
    """The bundled file to start from, and for a trained part the pool and the parts before it."""
    files = {}
    if TRAINING["start"] == "bundled" and (part not in run.trained or "start" in SHARED[part]):
        files["bundled"] = str(part_file(bundled(), part))
    if part in run.trained:
        home = "<results>/training/pool/{source}"
        files["records"] = expand(f"{home}/records.csv", source=run.pool)
        files["images"] = expand(f"{home}/images", source=run.pool)
        if part != "autoencoder":
            files["autoencoder"] = f"<results>/models/{NAME}/autoencoder.safetensors"
    return files


def training_outputs(part):
    """The part's file, and the losses where a network is trained."""
    files = {"weights": f"<results>/models/{NAME}/{part}.safetensors"}
    if part in LOSSES:
        files["history"] = f"<results>/training/{part}.csv"
    return files


def training_settings(part):
    """What decides a trained part's numbers besides its inputs; empty for a bundled one."""
    if part not in run.trained:
        return {}
    shared = {key: TRAINING[key] for key in SHARED[part]}
    versions = {name: package_version(name) for name in ("torch", "diffusers")}
    sources = training_sources(part)
    return {**TRAINING[part], **shared, "versions": versions, "sources": sources}


def checkpoint(part):
    """Not an output: Snakemake removes those of a job that was killed."""
    return f"{run.config['results']}/training/checkpoints/{part}.pt"


def training_minutes(part, attempt):
    """A day for a trained part, ten minutes for a copy."""
    return (1440 if part in run.trained else 10) * attempt

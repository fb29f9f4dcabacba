# What the rules of training share: the inputs, outputs and settings of one part of the model.

TRAINING = run.config["training"]


def training_inputs(part):
    """The bundled file to start from, and for a trained part the pool and the parts before it."""
    files = {}
    if TRAINING["start"] == "bundled":
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
    shared = {key: TRAINING[key] for key in ("start", "precision", "crop", "seed")}
    versions = {name: package_version(name) for name in ("torch", "diffusers")}
    return {**TRAINING[part], **shared, "versions": versions}


def checkpoint(part):
    """Not an output: Snakemake removes those of a job that was killed."""
    return f"{run.config['results']}/training/checkpoints/{part}.pt"


def training_minutes(part, attempt):
    """A day for a trained part, ten minutes for a copy."""
    return (1440 if part in run.trained else 10) * attempt

# What the rules of training share: the inputs, outputs and settings of one part of the model.

# What decides a part's numbers besides its own amounts: the tables are counted, not learned.
SHARED = {
    "autoencoder": ("start", "precision", "crop", "seed"),
    "contexts": ("crop",),
    "reverse": ("start", "precision", "seed"),
    "vgg": ("start", "precision", "seed"),
    "features": ("start", "precision", "seed"),
}

# The network whose taps are clustered: the model's own, or a published VGG-16.
TAPS_NETWORK = TRAINING["pseudo_labels"]["network"] or f"<results>/models/{NAME}/vgg.safetensors"


def training_inputs(part):
    """The bundled file to start from, and for a trained part the pool and the parts before it."""
    files = {}
    name = "features-{kind}" if part == "features" else part
    if TRAINING["start"] == "bundled" and (part not in TRAINED["mpd"] or "start" in SHARED[part]):
        files["bundled"] = str(part_file(bundled(), name))
    if part in TRAINED["mpd"]:
        home = "<results>/training/pool/{source}"
        files["records"] = expand(f"{home}/records.csv", source=run.training.data)
        files["images"] = expand(f"{home}/images", source=run.training.data)
        if part not in ("autoencoder", "vgg"):
            files["autoencoder"] = f"<results>/models/{NAME}/autoencoder.safetensors"
        if part == "features":
            files["labels"] = "<results>/training/pseudo_labels/{kind}.safetensors"
    return files


def training_outputs(part):
    """The part's file, and the losses where a network is trained."""
    name = "features-{kind}" if part == "features" else part
    files = {"weights": f"<results>/models/{NAME}/{name}.safetensors"}
    if part in (*NETWORKS, "features") and part in TRAINED["mpd"]:
        files["history"] = f"<results>/training/{name}.csv"
    return files


def training_settings(part):
    """What decides a trained part's numbers besides its inputs; empty for a bundled one."""
    if part not in TRAINED["mpd"]:
        return {}
    shared = {key: TRAINING[key] for key in SHARED[part]}
    crop = {"crop": TRAINING["pseudo_labels"]["size"]} if part == "vgg" else {}
    return {**TRAINING[part], **shared, **crop}


def label_settings():
    """What decides the pseudo-labels besides their inputs."""
    return {**TRAINING["pseudo_labels"], "seed": TRAINING["seed"]}


def model_parts(*parts):
    """Files of the model that this run makes."""
    return [f"<results>/models/{NAME}/{part}.safetensors" for part in parts]


def checkpoint(part):
    """Not an output: Snakemake removes those of a job that was killed."""
    return f"{run.config['results']}/training/checkpoints/{part}.pt"


def training_gpus(part):
    """GPUs of the job of a part: 0 for a copy."""
    return network_gpus() * (part in TRAINED["mpd"])


def training_minutes(part, attempt):
    """A day for a trained part, ten minutes for a copy."""
    return (1440 if part in TRAINED["mpd"] else 10) * attempt

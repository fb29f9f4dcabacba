"""A tiny CLIP with random weights, in the folder format of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

LETTERS = [chr(n) for n in range(97, 123)]
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>")]
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def tiny_clip(folder: Path, *, side: int = 32, patch: int = 8, form: str = "safetensors") -> Path:
    """Write the folder; `form` "bin" is the older one, with counted positions in the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), ".", ".</w>"]
    words += ["".join(pair) for pair in MERGES] + [START, END]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in MERGES)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    common = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
    common["num_attention_heads"] = 2
    text = {**common, "vocab_size": len(words), "max_position_embeddings": 20}
    text |= {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": 0}
    vision = {**common, "image_size": side, "patch_size": patch}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CLIPModel(config)
        for value in network.parameters():  # of a size that tells inputs apart
            torch.nn.init.normal_(value, 0, 0.3)
    state = network.state_dict()
    (folder / "config.json").write_text(config.to_json_string(use_diff=False))
    if form == "safetensors":
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    else:
        for part, count in (("text", 20), ("vision", (side // patch) ** 2 + 1)):
            state[f"{part}_model.embeddings.position_ids"] = torch.arange(count)[None]
        torch.save(state, folder / "pytorch_model.bin")
    pixels = {"image_mean": MEAN, "image_std": STD, "size": side, "crop_size": side}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder

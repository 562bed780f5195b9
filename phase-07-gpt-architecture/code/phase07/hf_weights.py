"""GPT-2 folders of Hugging Face: read their weights into our GPT, and write ours as such a folder.

A folder holds `config.json` and `model.safetensors`, or several safetensors files with an index.
Our parameters have Hugging Face's names, so three differences remain:
- Four matrices of each block are stored the other way round, (d_in, d_out): `turned`.
- Older folders, the first release of GPT-2 among them, have keys without `transformer.` in front,
  and store the causal mask of each block (`attn.bias`, `attn.masked_bias`), which is no weight.
- The output matrix is not stored: it is the token embedding.

Left out: pickled weights (reading a pickle runs whatever it says), the tokenizer's files, and
GPT-2 variants that our model does not compute; those are refused, not approximated.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from phase07.gpt import GPT, GPTConfig

OUR_NAMES = {  # Hugging Face's name of a size: ours
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "d_model",
    "n_positions": "block_size",
    "vocab_size": "vocab_size",
}
REQUIRED = {  # what our model computes; where a folder does not say, it means the same
    "model_type": "gpt2",
    "activation_function": "gelu_new",  # the tanh form
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
DROPOUTS = ("embd_pdrop", "attn_pdrop", "resid_pdrop")
TURNED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
MASKS = (".attn.bias", ".attn.masked_bias")


def load_hf_gpt2(folder: Path) -> GPT:
    """The model of a Hugging Face GPT-2 folder, in float32, on the CPU, in evaluation mode.

    Raises FileNotFoundError where a file is missing, and ValueError for a file that cannot be read,
    a kind of GPT-2 that our model does not compute, or a weight that is missing, unknown or of the
    wrong shape.
    """
    model = GPT(_read_config(folder / "config.json"))
    stored = _read_tensors(folder)
    expected = {name: tuple(tensor.shape) for name, tensor in turned(_parameters(model)).items()}
    for name in sorted(expected.keys() | stored.keys()):
        if name not in stored:
            raise ValueError(f"{folder} has no weight {name}, expected one of {expected[name]}")
        if name not in expected:
            raise ValueError(f"{folder} has a weight {name}, which this GPT-2 does not have")
        if stored[name].shape != expected[name]:
            raise ValueError(
                f"{name} in {folder}: expected shape {expected[name]} from its config.json, "
                f"got {tuple(stored[name].shape)}"
            )
    with torch.no_grad():
        parameters = _parameters(model)
        for name, tensor in turned(stored).items():
            parameters[name].copy_(tensor)
    return model.eval()


def save_hf_gpt2(model: GPT, folder: Path) -> None:
    """Write a folder that `transformers.GPT2LMHeadModel.from_pretrained(folder)` loads.

    A model without biases is written with biases of zero, since that class has no other kind: the
    same function, but it loads as a model with biases. The folder appears whole or not at all.
    Raises FileExistsError where there is one already.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: remove it or choose another folder")
    tensors = {key: tensor.contiguous() for key, tensor in turned(_parameters(model)).items()}
    if not model.config.bias:
        tensors |= _zero_biases(tensors)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a run that was stopped
    unfinished.mkdir(parents=True)
    save_file(tensors, unfinished / "model.safetensors", metadata={"format": "pt"})
    config = json.dumps(_hf_config(model), indent=2, sort_keys=True)
    (unfinished / "config.json").write_text(config + "\n", encoding="utf-8")
    unfinished.rename(folder)


def turned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our layout from Hugging Face's, or the other way round: four matrices of a block transposed.

    GPT-2 computes x @ W with W (d_in, d_out), and Hugging Face keeps that; `nn.Linear` computes
    x @ W.T with W (d_out, d_in).
    """
    return {key: value.T if key.endswith(TURNED) else value for key, value in tensors.items()}


def _parameters(model: GPT) -> dict[str, Tensor]:
    """Every weight once, by name: the output matrix is the token embedding and not named."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _read_config(path: Path) -> GPTConfig:
    config = _read_json(path)
    for key, value in REQUIRED.items():
        if config.get(key, value) != value:
            raise ValueError(f"{path}: expected {key} = {value!r}, got {config[key]!r}")
    missing = [key for key in OUR_NAMES if not isinstance(config.get(key), int)]
    if missing:
        raise ValueError(f"{path}: expected a whole number for {missing[0]}")
    if config.get("n_inner") not in (None, 4 * config["n_embd"]):
        raise ValueError(f"{path}: expected n_inner = 4 n_embd, got {config['n_inner']}")
    dropouts = {config.get(key, 0.1) for key in DROPOUTS}
    if len(dropouts) > 1:
        raise ValueError(f"{path}: expected {', '.join(DROPOUTS)} to be equal, got {dropouts}")
    sizes = {ours: config[theirs] for theirs, ours in OUR_NAMES.items()}
    return GPTConfig(**sizes, dropout=float(dropouts.pop()))


def _hf_config(model: GPT) -> dict[str, Any]:
    config = model.config
    # GPT-2's only special token is the last of its vocabulary; of others we know nothing.
    end_of_text = 50256 if config.vocab_size == 50257 else None
    return {
        "architectures": ["GPT2LMHeadModel"],
        **REQUIRED,
        **{theirs: getattr(config, ours) for theirs, ours in OUR_NAMES.items()},
        **dict.fromkeys(DROPOUTS, config.dropout),
        "n_inner": None,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": str(model.lm_head.weight.dtype).removeprefix("torch."),
    }


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    """The weights under our names, still in Hugging Face's layout."""
    index = folder / "model.safetensors.index.json"
    files = {"model.safetensors"}
    if index.exists() and not (folder / "model.safetensors").exists():
        files = set(_read_json(index).get("weight_map", {}).values())
    stored: dict[str, Tensor] = {}
    for name in sorted(files):
        if not (folder / name).exists():
            raise FileNotFoundError(f"no {name} in {folder}: expected a Hugging Face GPT-2 folder")
        try:
            stored |= load_file(folder / name)
        except SafetensorError as error:
            raise ValueError(f"{folder / name} is damaged: {error}") from error
    tensors = {
        key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}": tensor
        for key, tensor in stored.items()
        if not key.endswith(MASKS)
    }
    output = tensors.pop("lm_head.weight", None)  # some folders store the tied matrix twice
    if output is not None and not torch.equal(
        output, tensors.get("transformer.wte.weight", output)
    ):
        raise ValueError(f"{folder}: expected lm_head.weight to equal transformer.wte.weight")
    return tensors


def _zero_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A bias for each stored weight of a block and the final norm; both layouts end in d_out."""
    return {
        key.replace(".weight", ".bias"): weight.new_zeros(weight.shape[-1])
        for key, weight in tensors.items()
        if not key.endswith(("wte.weight", "wpe.weight"))
    }


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(
            f"no {path.name} in {path.parent}: expected a Hugging Face GPT-2 folder"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: expected a json object, got {type(content).__name__}")
    return content

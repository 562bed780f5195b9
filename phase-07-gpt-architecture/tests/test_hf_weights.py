"""Our model equals `transformers`' GPT-2 on the same weights, in both directions."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from phase07 import gpt
from phase07.gpt import GPT, GPTConfig
from phase07.hf_weights import load_hf_gpt2, save_hf_gpt2, turned

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIZES = [  # n_layer, n_head, n_embd, n_positions, vocab_size
    (1, 1, 4, 6, 11),
    (2, 3, 12, 7, 29),
    (3, 2, 10, 9, 31),
    (2, 5, 20, 8, 5),
]


def hf_model(sizes=SIZES[1], seed=0) -> GPT2LMHeadModel:
    """A GPT-2 of `transformers` whose every weight is random and large enough to matter."""
    n_layer, n_head, n_embd, n_positions, vocab_size = sizes
    config = GPT2Config(
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=n_positions,
        vocab_size=vocab_size,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def our_model(seed=0, **changes) -> GPT:
    torch.manual_seed(seed)
    model = GPT(GPTConfig(2, 3, 12, 7, 29, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return model


def random_ids(vocab_size, time, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab_size, (2, time), generator=generator)


@pytest.fixture
def folder(tmp_path):
    """A folder as `transformers` writes it."""
    hf_model().save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


def edit_weights(folder, edit):
    path = folder / "model.safetensors"
    tensors = edit(load_file(path))
    save_file(tensors, path, metadata={"format": "pt"})


# ---------------------------------------------------------------- parity


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_logits_equal_those_of_transformers(sizes, dtype, tolerance, tmp_path):
    theirs = hf_model(sizes)
    theirs.save_pretrained(tmp_path / "gpt2")
    ours = load_hf_gpt2(tmp_path / "gpt2").to(dtype)
    ids = random_ids(sizes[4], sizes[3])
    expected = theirs.to(dtype)(ids).logits
    torch.testing.assert_close(ours(ids), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_every_gradient_equals_that_of_transformers(sizes, dtype, tolerance, tmp_path):
    theirs = hf_model(sizes)
    theirs.save_pretrained(tmp_path / "gpt2")
    ours = load_hf_gpt2(tmp_path / "gpt2").to(dtype)
    theirs.to(dtype)
    ids, targets = random_ids(sizes[4], sizes[3]), random_ids(sizes[4], sizes[3], seed=2)
    ours.loss(ids, targets).backward()
    F.cross_entropy(theirs(ids).logits.flatten(0, 1), targets.flatten()).backward()
    gradients = turned({n: p.grad for n, p in theirs.named_parameters() if p.grad is not None})
    parameters = dict(ours.named_parameters())
    assert gradients.keys() == parameters.keys()
    for name, parameter in parameters.items():
        torch.testing.assert_close(
            parameter.grad,
            gradients[name],
            rtol=tolerance,
            atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def test_gelu_of_the_other_kind_would_be_noticed(folder, monkeypatch):
    ours, ids = load_hf_gpt2(folder).double(), random_ids(29, 7)
    expected = hf_model().double()(ids).logits
    exact = F.gelu
    monkeypatch.setattr(gpt.F, "gelu", lambda x, approximate: exact(x))
    assert (ours(ids) - expected).abs().max().item() > 1e-6


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_our_export_loads_in_transformers_with_the_same_logits(attention, dtype, tmp_path):
    ours = our_model(attention=attention, dropout=0.25).to(dtype)
    save_hf_gpt2(ours, tmp_path / "export")
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "export").eval()
    ids = random_ids(29, 7)
    assert theirs.dtype == dtype
    assert theirs.config.attn_pdrop == 0.25
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=tolerance, atol=tolerance)


def test_export_has_the_files_and_keys_that_transformers_writes(folder, tmp_path):
    save_hf_gpt2(load_hf_gpt2(folder), tmp_path / "export")
    ours, theirs = (load_file(f / "model.safetensors") for f in (tmp_path / "export", folder))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    config, expected = (
        json.loads((f / "config.json").read_text()) for f in (tmp_path / "export", folder)
    )
    assert config.items() <= expected.items()


def test_round_trip_keeps_every_bit_and_the_config(tmp_path):
    model = our_model(dropout=0.25)
    save_hf_gpt2(model, tmp_path / "export")
    again = load_hf_gpt2(tmp_path / "export")
    assert again.config == model.config
    assert not again.training
    assert again.lm_head.weight is again.transformer.wte.weight
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_model_without_biases_is_exported_with_biases_of_zero(tmp_path):
    model, ids = our_model(bias=False), random_ids(29, 7)
    save_hf_gpt2(model, tmp_path / "export")
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "export").eval()
    torch.testing.assert_close(theirs(ids).logits, model(ids), rtol=1e-5, atol=1e-5)
    again = load_hf_gpt2(tmp_path / "export")
    assert again.config.bias
    assert torch.equal(again(ids), model(ids))


def test_only_the_gpt2_vocabulary_has_an_end_of_text_token(tmp_path):
    for vocab_size, expected in [(29, None), (50257, 50256)]:
        model = GPT(GPTConfig(1, 1, 2, 3, vocab_size))
        save_hf_gpt2(model, tmp_path / str(vocab_size))
        config = json.loads((tmp_path / str(vocab_size) / "config.json").read_text())
        assert (config["bos_token_id"], config["eos_token_id"]) == (expected, expected)


# ---------------------------------------------------------------- folders of other makes


def test_turning_twice_changes_nothing_and_once_changes_four_matrices_a_block():
    tensors = {name: p.detach() for name, p in our_model().named_parameters()}
    once = turned(tensors)
    changed = [key for key in tensors if once[key].stride() != tensors[key].stride()]
    assert len(changed) == 4 * 2  # in two blocks
    twice = turned(once)
    assert all(torch.equal(twice[key], tensors[key]) for key in tensors)


def test_folder_of_the_first_release_is_read(folder):
    expected = load_hf_gpt2(folder)

    def as_first_released(tensors):
        tensors = {key.removeprefix("transformer."): value for key, value in tensors.items()}
        for layer in range(2):
            tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 7, 7).tril()
            tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
        return tensors

    edit_weights(folder, as_first_released)
    edit_config(folder, tie_word_embeddings="absent", scale_attn_weights="absent", n_ctx=7)
    loaded = load_hf_gpt2(folder).state_dict()
    assert all(torch.equal(loaded[name], t) for name, t in expected.state_dict().items())


def test_sharded_folder_is_read(tmp_path):
    model, ids = hf_model(), random_ids(29, 7)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="5KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    torch.testing.assert_close(load_hf_gpt2(tmp_path / "sharded")(ids), model(ids).logits)


def test_tied_matrix_stored_twice_is_read(folder):
    edit_weights(folder, lambda t: t | {"lm_head.weight": t["transformer.wte.weight"].clone()})
    load_hf_gpt2(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_become_float32(folder, dtype):
    edit_weights(folder, lambda tensors: {k: v.to(dtype) for k, v in tensors.items()})
    weight = load_hf_gpt2(folder).lm_head.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, weight.to(dtype).float())


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_function": "gelu"}, "activation_function = 'gelu_new', got 'gelu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = False"),
        ({"scale_attn_weights": False}, "scale_attn_weights = True, got False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings = True, got False"),
        ({"add_cross_attention": True}, "add_cross_attention = False, got True"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon = 1e-05, got 1e-06"),
        ({"model_type": "llama"}, "model_type = 'gpt2', got 'llama'"),
        ({"n_inner": 40}, "n_inner = 4 n_embd, got 40"),
        ({"attn_pdrop": 0.2}, "attn_pdrop, resid_pdrop to be equal"),
        ({"n_layer": "absent"}, "a whole number for n_layer"),
        ({"n_head": 5}, "multiple of n_head, got 12 and 5"),
    ],
)
def test_config_that_our_model_does_not_compute_is_refused(folder, changes, message):
    edit_config(folder, **changes)
    with pytest.raises(ValueError, match=message):
        load_hf_gpt2(folder)


def drop(key):
    return lambda tensors: {k: v for k, v in tensors.items() if k != key}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop("transformer.h.1.mlp.c_fc.bias"), r"no weight transformer.h.1.mlp.c_fc.bias"),
        (lambda t: t | {"h.0.extra": torch.ones(1)}, r"a weight transformer.h.0.extra, which"),
        (
            lambda t: t | {"transformer.h.0.attn.c_attn.weight": torch.ones(36, 12)},
            r"transformer.h.0.attn.c_attn.weight .* shape \(12, 36\) .* got \(36, 12\)",
        ),
        (
            lambda t: t | {"transformer.wpe.weight": torch.ones(8, 12)},
            r"transformer.wpe.weight .* shape \(7, 12\) .* got \(8, 12\)",
        ),
        (lambda t: t | {"lm_head.weight": torch.ones(29, 12)}, r"lm_head.weight to equal"),
    ],
)
def test_weight_that_does_not_fit_is_named(folder, edit, message):
    edit_weights(folder, edit)
    with pytest.raises(ValueError, match=message):
        load_hf_gpt2(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no {name} in .*a Hugging Face GPT-2 folder"):
        load_hf_gpt2(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe"])
def test_damaged_file_is_named(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        load_hf_gpt2(folder)


def test_truncated_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_hf_gpt2(folder)


def test_existing_folder_is_not_overwritten(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="exists already"):
        save_hf_gpt2(our_model(), folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_failed_export_leaves_no_folder_and_can_be_repeated(tmp_path, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("phase07.hf_weights.json.dumps", full_disk)
        with pytest.raises(OSError, match="no space left"):
            save_hf_gpt2(our_model(), tmp_path / "export")
    assert not (tmp_path / "export").exists()
    save_hf_gpt2(our_model(), tmp_path / "export")
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert math.isfinite(load_hf_gpt2(tmp_path / "export").lm_head.weight.sum().item())

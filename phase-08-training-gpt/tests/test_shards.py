import hashlib
import json
import shlex
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phase08 import shards
from phase08.shards import Manifest, Shard, Split, open_split, read_shard, write_shard
from phase08.tokenizers import ByteTokenizer

LENGTHS = {"train": (7, 5, 3), "val": (4,)}


@pytest.fixture
def folder(tmp_path):
    """A data folder with a train split of three shards and a val split of one."""
    rng = np.random.default_rng(1)
    splits = {}
    for name, lengths in LENGTHS.items():
        split = Split()
        for number, length in enumerate(lengths):
            path = tmp_path / f"{name}-{number:06d}.bin"
            write_shard(path, rng.integers(0, 257, length).astype(np.uint16))
            split.shards.append(Shard(path.name, length, shards.file_sha256(path)))
            split.tokens += length
        splits[name] = split
    tokenizer = ByteTokenizer()
    Manifest("files", "rev", tokenizer.to_dict(), tokenizer.vocab_size, splits).write(tmp_path)
    return tmp_path


def rewrite(folder, change):
    """Changes the manifest as an honest writer would, with a new checksum."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content.pop("checksum")
    change(content)
    shards.write_json(path, content)


def test_shard_has_the_bytes_that_llm_c_writes(tmp_path):
    path = tmp_path / "x.bin"
    write_shard(path, np.array([1, 256, 50256], dtype=np.uint16))
    expected = struct.pack("<3i", 20240520, 1, 3) + bytes(1012) + struct.pack("<3H", 1, 256, 50256)
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_shard_written_as_llm_c_does_is_read(tmp_path):
    header = np.zeros(256, dtype=np.int32)
    header[:3] = 20240520, 1, 4
    tokens = np.array([9, 8, 7, 65535], dtype=np.uint16)
    (tmp_path / "theirs.bin").write_bytes(header.tobytes() + tokens.tobytes())
    read = read_shard(tmp_path / "theirs.bin")
    assert isinstance(read, np.memmap)
    assert read.tolist() == [9, 8, 7, 65535]


def test_empty_shard_is_read(tmp_path):
    write_shard(tmp_path / "empty.bin", np.zeros(0, dtype=np.uint16))
    assert len(read_shard(tmp_path / "empty.bin")) == 0


@given(data=st.data(), lengths=st.lists(st.integers(0, 6), max_size=5))
@settings(deadline=None)
def test_slices_across_shards_equal_those_of_the_whole(data, lengths):
    whole = np.arange(sum(lengths), dtype=np.uint16)
    pieces = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    tokens = shards.Tokens(list(pieces), 100, "")
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    assert len(tokens) == len(whole)
    assert tokens.slice(start, stop).tolist() == whole[start:stop].tolist()
    assert tokens.slice(start, stop).dtype == np.uint16


def test_split_reads_across_its_shards(folder):
    train = open_split(folder, "train")
    parts = [read_shard(folder / f"train-{i:06d}.bin") for i in range(3)]
    assert len(train) == 15
    assert train.slice(0, 15).tolist() == np.concatenate(parts).tolist()
    assert train.slice(7, 12).tolist() == parts[1].tolist()
    assert isinstance(train.slice(8, 11), np.memmap)  # in one shard: not copied
    assert train.vocab_size == 257
    hashes = "\n".join(shards.file_sha256(folder / f"train-{i:06d}.bin") for i in range(3))
    assert train.fingerprint == hashlib.sha256(hashes.encode()).hexdigest()
    assert train.fingerprint != open_split(folder, "val").fingerprint


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 16), (5, 4)])
def test_slice_out_of_bounds_is_refused(folder, start, stop):
    with pytest.raises(ValueError, match="there are 15"):
        open_split(folder, "train").slice(start, stop)


def test_tokenizer_is_read_from_the_manifest(folder):
    assert isinstance(shards.read_tokenizer(folder), ByteTokenizer)
    rewrite(folder, lambda m: m.update(vocab_size=300))
    with pytest.raises(ValueError, match="vocabulary of 300, but its tokenizer has 257"):
        shards.read_tokenizer(folder)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def grow(path):
    path.write_bytes(path.read_bytes() + b"\0\0")


DAMAGES = {
    "magic": (lambda p: flip(p, 1), "is no token shard: it begins with"),
    "version": (lambda p: flip(p, 4), "is a shard of version 0, not 1"),
    "count": (lambda p: flip(p, 8), "its header says 4 tokens"),
    "cut": (cut, "was cut short: its header says 5 tokens, which makes 1034 bytes"),
    "longer": (grow, "has bytes at its end that are not its own"),
    "header only": (lambda p: p.write_bytes(p.read_bytes()[:999]), "999 bytes, fewer than"),
    "empty": (lambda p: p.write_bytes(b""), "0 bytes, fewer than"),
    "missing": (lambda p: p.unlink(), "is missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("verify", [True, False])
def test_damaged_shard_is_one_sentence_with_what_to_do(folder, name, verify):
    damage, message = DAMAGES[name]
    damage(folder / "train-000001.bin")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        open_split(folder, "train", verify=verify)
    assert str(folder / "train-000001.bin") in str(error.value)
    assert "prepare it again with `uv run python -m phase08.prepare" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(open_split(folder, "val")) == 4  # the other split is untouched


def test_every_flipped_bit_of_a_shard_is_detected(folder):
    path = folder / "train-000001.bin"
    whole = path.read_bytes()
    for at in [*range(0, 16), 500, 1023, *range(1024, len(whole))]:
        flip(path, at)
        with pytest.raises(ValueError, match="train-000001"):
            open_split(folder, "train", verify=True)
        path.write_bytes(whole)
    open_split(folder, "train", verify=True)


def test_token_beyond_the_vocabulary_is_named(folder):
    path = folder / "val-000000.bin"
    write_shard(path, np.array([1, 256, 257, 3], dtype=np.uint16))
    sha = shards.file_sha256(path)
    rewrite(folder, lambda m: m["splits"]["val"]["shards"][0].update(sha256=sha))
    with pytest.raises(ValueError, match=r"token id 257, beyond the vocabulary of 257"):
        open_split(folder, "val", verify=True)
    assert len(open_split(folder, "val", verify=False)) == 4


def test_shards_of_another_preparation_are_refused(folder):
    write_shard(folder / "val-000000.bin", np.arange(5, dtype=np.uint16))
    with pytest.raises(ValueError, match="do not belong together"):
        open_split(folder, "val", verify=False)


def test_every_changed_character_of_the_manifest_is_detected(folder):
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for at in range(0, len(whole) - 1, 3):
        changed = bytes([whole[at] ^ 2])
        path.write_bytes(whole[:at] + changed + whole[at + 1 :])
        if _same_json(path.read_bytes(), whole):  # white space is not content
            continue
        with pytest.raises(ValueError, match=r"manifest\.json") as error:
            Manifest.read(folder)
        assert "prepare it again with" in str(error.value)


def _same_json(one, other):
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_torn_manifest_is_refused(folder):
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is not valid json"):
        open_split(folder, "train")


WRONG = {
    "no vocab_size": lambda m: m.pop("vocab_size"),
    "vocab_size as text": lambda m: m.update(vocab_size="257"),
    "vocab_size as bool": lambda m: m.update(vocab_size=True),
    "splits as list": lambda m: m.update(splits=[]),
    "version of the future": lambda m: m.update(version=2),
    "negative tokens": lambda m: m["splits"]["val"].update(tokens=-4),
    "sum of tokens": lambda m: m["splits"]["val"].update(tokens=5),
    "shard without sha256": lambda m: m["splits"]["val"]["shards"][0].pop("sha256"),
    "shard elsewhere": lambda m: m["splits"]["val"]["shards"][0].update(file="../x.bin"),
    "shard as text": lambda m: m["splits"]["val"].update(shards=["val-000000.bin"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_manifest_is_one_sentence_with_what_to_do(folder, name):
    rewrite(folder, WRONG[name])
    with pytest.raises(ValueError, match=r"manifest\.json is not a manifest: ") as error:
        open_split(folder, "train")
    assert "prepare it again with" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_data_says_how_to_prepare_some(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no prepared data in .*prepare some with"):
        open_split(tmp_path / "nowhere", "train")


def test_unknown_split_names_those_there_are(folder):
    with pytest.raises(ValueError, match="no split 'test'; it has train, val"):
        open_split(folder, "test")


def test_manifest_comes_back_as_it_was_written(folder):
    manifest = Manifest.read(folder)
    manifest.write(folder)
    assert Manifest.read(folder) == manifest


def test_shard_too_long_for_its_header_is_refused():
    with pytest.raises(ValueError, match="0 to 2147483647 tokens"):
        shards.shard_header(2**31)


def test_command_that_prepares_again_names_all_that_was_asked_for(tmp_path):
    request = {"max_tokens": 900, "seed": 0, "val_fraction": 0.2, "shard_tokens": 7, "repeat": 1}
    preparation = {"request": request, "patterns": ["my books/*.txt", "b.jsonl"]}
    command = shards.prepare_command("files", "bytes", tmp_path / "my data", preparation)
    assert shlex.split(command) == [
        *("uv", "run", "python", "-m", "phase08.prepare", "--source", "files"),
        *("--tokenizer", "bytes", "--files", "my books/*.txt", "b.jsonl", "--max-tokens", "900"),
        *("--shard-tokens", "7", "--val-fraction", "0.2"),
        *("--out", str(tmp_path / "my data"), "--overwrite"),
    ]

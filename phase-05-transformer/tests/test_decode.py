"""Greedy and beam decoding: against teacher forcing, brute force, and without the cache."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from phase02.seq2seq import padded
from phase05.decode import (
    Writer,
    beam_search,
    best_of,
    decoder_layer_step,
    first_beam,
    greedy,
    grown,
    is_settled,
    keep_nothing_written,
    length_penalty,
)
from phase05.decoder import decoder_layer_forward, decoder_layer_parameters
from phase05.encoder import LayerConfig
from phase05.transformer import Transformer, TransformerConfig

START, END = 4, 3
CONFIG = TransformerConfig(
    source_vocab_size=6,
    target_vocab_size=5,
    start_id=START,
    end_id=END,
    d_model=12,
    n_head=3,
    d_ff=14,
    n_layer=2,
)
SOURCE, MASK = padded([[1, 2, 3, 0, 5], [5], [4, 4, 2]])


def make(dtype=np.float64, seed=0, sharpness=3.0, **changes):
    """A transformer whose scores are far enough apart that something depends on the source."""
    model = Transformer(dataclasses.replace(CONFIG, **changes), np.random.default_rng(seed), dtype)
    rng = np.random.default_rng([seed, 1])
    for name, param in model.params.items():
        if name.endswith("bias"):  # zeros at the start would hide that one is left out
            param += rng.normal(0, 0.3, param.shape).astype(dtype)
    model.params["target_embedding.weight"] *= sharpness
    return model


def with_scores(step_scores):
    """A model that writes with these scores, whatever the source: those of the symbol after each.

    Row i of `step_scores` holds the scores after symbol i. The layers are all zero, so the output
    of the decoder is the embedding alone, a large number at place i; beside it positions vanish.
    """
    n_symbols = len(step_scores)
    width = 2 * n_symbols
    config = TransformerConfig(2, n_symbols, START, END, width, 1, 3, 1, norm="none", tied=False)
    model = Transformer(config, np.random.default_rng(0), np.float64)
    for param in model.params.values():
        param[...] = 0
    large = 1e10
    table, output = (model.params[n] for n in ("target_embedding.weight", "output.weight"))
    table[:, :n_symbols] = np.eye(n_symbols) * large / math.sqrt(width)
    output[:, :n_symbols] = np.array(step_scores).T / large
    return model


def log_probabilities(model, row, answers):
    """The log-probability of each answer to one source, by teacher forcing, in one pass."""
    ids, counted = padded(answers)
    source, mask = (np.repeat(x[row : row + 1], len(answers), axis=0) for x in (SOURCE, MASK))
    before = np.concatenate([np.full((len(ids), 1), START), ids[:, :-1]], axis=1)
    scores = model.logits(model.encode(source, mask), mask, before)  # (N, T, W)
    logs = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    return np.where(counted, np.take_along_axis(logs, ids[:, :, None], axis=2)[:, :, 0], 0).sum(1)


def all_answers(n_symbols, max_length):
    """Every answer there is: those that end, and those of full length that do not."""
    others = [symbol for symbol in range(n_symbols) if symbol != END]
    for length in range(max_length):
        for body in itertools.product(others, repeat=length):
            yield [*body, END]
    yield from map(list, itertools.product(others, repeat=max_length))


def up_to_end(row):
    row = row.tolist()
    return row[: row.index(END) + 1] if END in row else row


# ---- the cache ---------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["post", "pre", "none"])
def test_layer_step_by_step_equals_the_layer_on_all_positions(norm):
    config = LayerConfig(12, 3, 14, norm=norm)
    rng = np.random.default_rng(2)
    params = decoder_layer_parameters(config, rng, np.float64)
    params = {name: param + rng.normal(0, 0.2, param.shape) for name, param in params.items()}
    x, memory = rng.normal(size=(2, 4, 12)), rng.normal(size=(2, 5, 12))
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)[:, np.newaxis, np.newaxis]
    whole, _ = decoder_layer_forward(params, x, memory, np.tri(4, dtype=bool), mask, config)
    kept = keep_nothing_written(params, memory, 3)
    for step in range(4):
        y, kept = decoder_layer_step(params, x[:, step : step + 1], kept, mask, config)
        np.testing.assert_allclose(y[:, 0], whole[:, step], rtol=0, atol=1e-10)
        assert kept.key.shape == kept.value.shape == (2, 3, step + 1, 4)
        assert kept.memory_key.shape == kept.memory_value.shape == (2, 3, 5, 4)


def test_keys_and_values_of_the_memory_stay_the_same():
    config = LayerConfig(12, 3, 14)
    rng = np.random.default_rng(3)
    params = decoder_layer_parameters(config, rng, np.float64)
    first = keep_nothing_written(params, rng.normal(size=(2, 5, 12)), 3)
    assert first.key.shape[2] == 0
    mask = np.ones((2, 1, 1, 5), bool)
    _, second = decoder_layer_step(params, rng.normal(size=(2, 1, 12)), first, mask, config)
    _, third = decoder_layer_step(params, rng.normal(size=(2, 1, 12)), second, mask, config)
    np.testing.assert_array_equal(third.memory_key, first.memory_key)
    np.testing.assert_array_equal(third.memory_value, first.memory_value)
    np.testing.assert_array_equal(third.key[:, :, :1], second.key)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "pre"},
        {"norm": "pre", "final_norm": False},
        {"final_norm": True},
        {"norm": "none"},
        {"residual": False},
        {"tied": False},
        {"activation": "gelu"},
    ],
)
def test_scores_with_cache_equal_those_without(changes):
    model = make(**changes)
    rng = np.random.default_rng(4)
    cached, plain = (Writer(model, SOURCE, MASK, use_cache=use) for use in (True, False))
    symbols = np.full(3, START)
    for _ in range(6):
        mine, truth = cached.step(symbols), plain.step(symbols)
        np.testing.assert_allclose(mine, truth, rtol=0, atol=1e-10)
        assert mine.shape == (3, 5)
        symbols = rng.integers(0, 5, 3)


@pytest.mark.parametrize("use_cache", [True, False])
def test_scores_are_those_of_teacher_forcing(use_cache):
    model = make()
    before = np.array([[START, 0, 2, 1], [START, 1, 1, 0], [START, 2, 0, 0]])
    truth = model.logits(model.encode(SOURCE, MASK), MASK, before)  # (B, T, W)
    writer = Writer(model, SOURCE, MASK, use_cache=use_cache)
    for step in range(4):
        np.testing.assert_allclose(writer.step(before[:, step]), truth[:, step], atol=1e-10)


@pytest.mark.parametrize("use_cache", [True, False])
def test_chosen_rows_go_on_as_they_stand(use_cache):
    model = make()
    writer = Writer(model, SOURCE, MASK, copies=2, use_cache=use_cache)
    writer.step(np.full(6, START))
    writer.step(np.array([0, 1, 0, 1, 0, 1]))
    writer.choose(np.array([1, 1, 3, 2, 4, 4]))  # so the symbols before are 1 1, 1 0, 0 0
    scores = writer.step(np.full(6, 2))
    before = np.array([[START, b, 2] for b in (1, 1, 1, 0, 0, 0)])
    memory, mask = np.repeat(model.encode(SOURCE, MASK), 2, axis=0), np.repeat(MASK, 2, axis=0)
    np.testing.assert_allclose(scores, model.logits(memory, mask, before)[:, -1], atol=1e-10)


# ---- greedy ------------------------------------------------------------------------------


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_writes_the_likeliest_symbol_of_each_step(seed, use_cache):
    model = make(seed=seed)
    written = greedy(model, SOURCE, MASK, 7, use_cache)
    memory = model.encode(SOURCE, MASK)
    for row in range(3):
        before, own = [START], MASK[row : row + 1]
        for symbol in up_to_end(written[row]):
            scores = model.logits(memory[row : row + 1], own, np.array([before]))
            assert symbol == np.argmax(scores[0, -1])
            before.append(symbol)
        assert END in written[row] or written.shape[1] == 7


def test_greedy_stops_at_the_end_and_fills_up_with_ends():
    # After the start comes 0, then 1, then the end.
    scores = np.full((5, 5), -9.0)
    scores[START, 0] = scores[0, 1] = scores[1, END] = scores[END, 0] = 9.0
    written = greedy(with_scores(scores), SOURCE % 2, MASK, 10)
    assert written.tolist() == [[0, 1, END]] * 3
    assert written.dtype == np.int64


def test_rows_that_end_early_wait_for_the_others():
    lengths = set()
    for seed in range(6):
        written = greedy(make(seed=seed), SOURCE, MASK, 9)
        ends = [row.tolist().index(END) if END in row else 9 for row in written]
        lengths.add(len(set(ends)))
        assert written.shape[1] == min(9, max(ends) + 1)
        for row, end in zip(written, ends, strict=True):
            assert np.all(row[end:] == END)
    assert max(lengths) > 1  # else nobody has waited


def test_what_never_ends_stops_at_the_longest_length():
    scores = np.zeros((5, 5))
    scores[:, 2] = 5.0
    model = with_scores(scores)
    assert greedy(model, SOURCE % 2, MASK, 4).tolist() == [[2] * 4] * 3
    answer, _ = beam_search(model, SOURCE % 2, MASK, 4, width=1)
    assert answer.tolist() == [[2] * 4] * 3


# ---- beam search -------------------------------------------------------------------------


def test_length_penalty_has_the_values_of_its_formula():
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(19, 0.5) == 2.0
    assert length_penalty(13, 0.0) == 1.0
    np.testing.assert_allclose(length_penalty(np.array([1, 7]), 2.0), [1.0, 4.0])


def test_best_of_are_the_highest_of_each_row_in_falling_order():
    scores = np.array([[3.0, 9.0, 1.0, 9.0, 5.0], [0.0, -1.0, -2.0, -np.inf, -0.5]])
    values, places = best_of(scores, 3)
    np.testing.assert_array_equal(values, [[9.0, 9.0, 5.0], [0.0, -0.5, -1.0]])
    np.testing.assert_array_equal(places, [[1, 3, 4], [0, 4, 1]])
    assert scores[0, 1] == 9.0  # only read
    values, _ = best_of(scores, 7)
    np.testing.assert_array_equal(values[:, 5:], -np.inf)


def test_places_without_a_prefix_of_their_own_repeat_none():
    logits = np.tile(np.arange(5.0), (1, 7, 1))  # five continuations for seven places
    beam, _ = grown(first_beam(1, 7), logits, END, 0.6)
    np.testing.assert_array_equal(beam.total[0, 5:], -np.inf)
    beam, _ = grown(beam, logits, END, 0.6)
    assert len({tuple(answer) for answer in beam.answers[0].tolist()}) == 7


def test_answer_that_has_ended_goes_on_in_one_way():
    logits = np.tile(np.arange(5.0), (1, 7, 1))
    first, _ = grown(first_beam(1, 7), logits, END, 0.6)
    second, _ = grown(first, logits, END, 0.6)
    ended = second.answers[0][second.answers[0, :, 0] == END]
    assert ended.tolist() == [[END, END]]
    (place,) = np.flatnonzero(second.answers[0, :, 0] == END)
    assert second.lengths[0, place] == 1
    assert second.scores[0, place] == first.scores[0, first.answers[0, :, 0] == END]


def test_search_goes_on_while_a_prefix_may_still_grow_better():
    beam, _ = grown(first_beam(2, 2), np.zeros((2, 2, 5)), END, 0.0)
    beam = beam._replace(
        total=np.array([[-1.0, -1.5], [-1.0, -9.0]]),
        scores=np.array([[-1.0, -1.5], [-1.0, -9.0]]),
        ended=np.array([[True, False], [True, False]]),
    )
    assert is_settled(beam, 20, 0.0)  # -1.5 can only fall
    assert not is_settled(beam, 20, 1.0)  # of 20 symbols it could be worth -1.5 / (25 / 6)
    assert is_settled(beam, 2, 1.0)  # of two only -1.5 / (7 / 6)
    assert is_settled(beam._replace(ended=np.ones((2, 2), bool)), 20, 1.0)
    assert not is_settled(beam._replace(ended=np.zeros((2, 2), bool)), 20, 0.0)


@pytest.mark.parametrize(("seed", "alpha"), [(0, 0.0), (1, 0.6), (2, 1.5), (3, 0.6)])
def test_beam_of_one_equals_greedy(seed, alpha):
    model = make(seed=seed, sharpness=1.0)
    mine, _ = beam_search(model, SOURCE, MASK, 8, width=1, alpha=alpha)
    np.testing.assert_array_equal(mine, greedy(model, SOURCE, MASK, 8))


@pytest.mark.parametrize(("seed", "alpha"), [(0, 0.0), (1, 0.6), (2, 3.0)])
def test_beam_as_wide_as_the_space_finds_the_best_answer_by_brute_force(seed, alpha):
    model = make(seed=seed, sharpness=1.0)
    answers = list(all_answers(5, 4))
    found, scores = beam_search(model, SOURCE, MASK, 4, width=len(answers), alpha=alpha)
    for row in range(3):
        penalties = [((5 + len(answer)) / 6) ** alpha for answer in answers]
        every = log_probabilities(model, row, answers) / penalties
        best = int(np.argmax(every))
        assert up_to_end(found[row]) == answers[best]
        assert scores[row] == pytest.approx(every[best], abs=1e-10)


def test_long_answers_win_by_the_penalty_and_short_ones_without_it():
    # From the start: the end at once (0.4), or 0 and then the end (0.6 * 0.5 = 0.3).
    probabilities = np.full((5, 5), 1e-9)
    probabilities[START, [END, 0]] = 0.4, 0.6
    probabilities[0, [END, 1]] = 0.5, 0.5
    probabilities[1, 1] = 1.0
    model = with_scores(np.log(probabilities))
    source, mask = SOURCE[:1] % 2, MASK[:1]
    short, score = beam_search(model, source, mask, 2, width=5, alpha=0.0)
    assert short.tolist() == [[END]]
    assert score[0] == pytest.approx(math.log(0.4), abs=1e-6)
    long, score = beam_search(model, source, mask, 2, width=5, alpha=3.0)
    assert long.tolist()[0][0] == 0
    assert score[0] == pytest.approx(math.log(0.3) / (7 / 6) ** 3, abs=1e-6)


def test_wider_beam_finds_what_greedy_misses():
    # Greedy takes 0 (0.6), after which all is even (0.25 each); 1 (0.4) is followed by a sure end.
    probabilities = np.full((5, 5), 1e-9)
    probabilities[START, [0, 1]] = 0.6, 0.4
    probabilities[0, [0, 1, 2, END]] = 0.25
    probabilities[1, END] = 1.0
    probabilities[2, [0, 1, 2, END]] = 0.25
    model = with_scores(np.log(probabilities))
    source, mask = SOURCE[:1] % 2, MASK[:1]
    assert greedy(model, source, mask, 6)[0, 0] == 0
    answer, score = beam_search(model, source, mask, 6, width=2, alpha=0.0)
    assert answer.tolist() == [[1, END]]
    assert score[0] == pytest.approx(math.log(0.4), abs=1e-6)


@pytest.mark.parametrize("width", [1, 3, 6])
def test_score_is_the_answers_own_by_teacher_forcing(width):
    for seed in range(3):
        model = make(seed=seed, sharpness=1.5)
        answers, scores = beam_search(model, SOURCE, MASK, 6, width, 0.7)
        for row in range(3):
            answer = up_to_end(answers[row])
            (total,) = log_probabilities(model, row, [answer])
            assert scores[row] == pytest.approx(total / length_penalty(len(answer), 0.7), abs=1e-10)
            assert np.all(answers[row, len(answer) :] == END)
        assert answers.shape[1] == max(len(up_to_end(answer)) for answer in answers)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_beam_search_with_cache_equals_that_without(norm):
    for seed in range(3):
        model = make(seed=seed, sharpness=1.5, norm=norm)
        mine, scores = beam_search(model, SOURCE, MASK, 6, 3, 0.6)
        truth, plain = beam_search(model, SOURCE, MASK, 6, 3, 0.6, use_cache=False)
        np.testing.assert_array_equal(mine, truth)
        np.testing.assert_allclose(scores, plain, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(
            greedy(model, SOURCE, MASK, 6), greedy(model, SOURCE, MASK, 6, use_cache=False)
        )


def test_rows_of_a_batch_do_not_depend_on_each_other():
    for seed in range(2):
        model = make(seed=seed, sharpness=1.5)
        together, scores = beam_search(model, SOURCE, MASK, 6, 3)
        written = greedy(model, SOURCE, MASK, 6)
        for row in range(3):
            source = SOURCE[row : row + 1, : MASK[row].sum()]  # alone, and without its filling
            mask = np.ones_like(source, dtype=bool)
            alone, score = beam_search(model, source, mask, 6, 3)
            assert up_to_end(alone[0]) == up_to_end(together[row])
            assert score[0] == pytest.approx(scores[row], abs=1e-10)
            assert up_to_end(greedy(model, source, mask, 6)[0]) == up_to_end(written[row])


def test_no_beam_scores_above_the_best_of_the_whole_space():
    model = make(seed=2, sharpness=1.0)
    everything = len(list(all_answers(5, 4)))
    _, best = beam_search(model, SOURCE, MASK, 4, everything)
    for width in (1, 2, 5, 20):
        _, scores = beam_search(model, SOURCE, MASK, 4, width)
        assert np.all(scores <= best + 1e-12)


def test_float32_model_decodes_and_gives_the_same_answers_as_float64():
    double, single = make(seed=1), make(seed=1)
    single.params = {name: param.astype(np.float32) for name, param in single.params.items()}
    writer = Writer(single, SOURCE, MASK)
    assert writer.step(np.full(3, START)).dtype == np.float32
    np.testing.assert_array_equal(greedy(single, SOURCE, MASK, 5), greedy(double, SOURCE, MASK, 5))
    answers, _ = beam_search(single, SOURCE, MASK, 5)
    np.testing.assert_array_equal(answers, beam_search(double, SOURCE, MASK, 5)[0])


def test_settings_out_of_range_are_refused():
    model = make()
    with pytest.raises(ValueError, match="max_length"):
        greedy(model, SOURCE, MASK, 0)
    with pytest.raises(ValueError, match="max_length"):
        beam_search(model, SOURCE, MASK, 0)
    with pytest.raises(ValueError, match="width"):
        beam_search(model, SOURCE, MASK, 3, width=0)
    with pytest.raises(ValueError, match="alpha"):
        beam_search(model, SOURCE, MASK, 3, alpha=-0.1)

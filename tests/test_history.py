"""Milestones and exhibits: their state, looking one up, what is run, and the gate."""

from dataclasses import replace
from pathlib import Path

import pytest

from journal import history, roadmap
from journal.plan import Exhibit, Link, Milestone

CODE = "phase-00-foundations/code/phase00"
XOR = f"[alone]({CODE}/train_xor.py), [hidden]({CODE}/train_hidden.py)"
NGRAM = f"[a]({CODE}/train_ngram.py), [b]({CODE}/plot_ngram.py)"
TEXT = f"""\
## Phase 0: Foundations
Folder: [phase-00-foundations](phase-00-foundations/)

**Goal.** Know the operations.

**Prerequisites.** Python.

### Items
- [x] **0.1 Vectors.** Lists only.
- [ ] **0.2 The chain rule.** By hand.
- [x] **0.3 Softmax.** Stable.
- [ ] **0.4 Entropy.** In bits.

## Milestones

| Year | Milestone | Phase | Needs | Run | Must reach |
| --- | --- | --- | --- | --- | --- |
| 1957 | Perceptron: a machine that learns | 0 | 0.1, 0.3 | [gates]({CODE}/train_gates.py) | 95 % |
| 1969 | XOR: what one layer cannot do | 0 | 0.1, 0.2, 0.4 | {XOR} | 100 % |
| 1986 | MLP: digits | 0 | 0.3 | to come | 95 % |

## Museum

| # | Exhibit | Years | Phase | Idea | Run | CPU time |
| --- | --- | --- | --- | --- | --- | --- |
| 01 | N-gram language models | 1948-1990s | 0 | Count | {NGRAM} | 5 s |
| 02 | Backpropagation | 1986 | 0 | The chain rule | to come | 1 s |
| 07 | BERT's masked language model | 2018 | 0 | Fill gaps | to come | 9 s |
| 08 | GPT | 2018-2019 | 0 | Predict | to come | 9 s |
| 10 | LoRA | 2022 | 0 | Low rank | [out](https://example.org/lora) | 9 s |
| 11 | RLHF | 2022 | 0 | Preferences | to come | 9 s |
"""
PLAN = roadmap.parse(TEXT)
REAL = roadmap.load(Path(__file__).parent.parent)


# ---- states ------------------------------------------------------------------------------


def test_milestone_with_every_needed_item_ticked_is_reached():
    perceptron, _, mlp = history.milestone_states(PLAN)
    assert perceptron.reached
    assert perceptron.say == "reached"
    assert mlp.reached
    assert mlp.say == "reached; scripts to come"


def test_open_milestone_names_the_items_that_lack():
    xor = history.milestone_states(PLAN)[1]
    assert not xor.reached
    assert [item.id for item in xor.lacking] == ["0.2", "0.4"]
    assert xor.say == "1 of 3 needed, 0.2, 0.4 lack"


def test_milestone_that_needs_nothing_is_not_reached_by_itself():
    nothing = Milestone("2000", "Nothing", (0,), (), (), "")
    state = history.MilestoneState(nothing, (), runnable=True)
    assert not state.reached
    assert state.say == "0 of 0 needed"


def test_exhibit_can_be_run_once_it_links_a_script():
    states = history.exhibit_states(PLAN)
    assert [state.exhibit.number for state in states] == ["01", "02", "07", "08", "10", "11"]
    assert [state.say for state in states[:2]] == ["can be run", "to come"]


def test_every_milestone_and_exhibit_of_the_roadmap_has_a_state_that_agrees_with_its_row():
    states = history.milestone_states(REAL)
    assert len(states) == 6
    for state in states:
        assert state.reached == REAL.reached(state.milestone)
        assert state.runnable == bool(state.milestone.run)
        assert set(state.lacking) <= {REAL.item(need) for need in state.milestone.needs}
    exhibits = history.exhibit_states(REAL)
    assert len(exhibits) == 12
    assert all(state.runnable == bool(state.exhibit.run) for state in exhibits)


# ---- looking one up ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["1957", "Perceptron", "perceptron", " 1957 ", "a machine", PLAN.milestones[0].title]
)
def test_milestone_is_found_by_year_and_by_title(name):
    assert history.find_milestone(PLAN, name) == PLAN.milestones[0]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("1", "01"),
        ("01", "01"),
        ("n-gram", "01"),
        ("1986", "02"),
        ("Backpropagation", "02"),
        ("bert", "07"),
        ("2018-2019", "08"),
        ("10", "10"),
        ("lora", "10"),
    ],
)
def test_exhibit_is_found_by_number_years_and_title(name, number):
    assert history.find_exhibit(PLAN, name).number == number


def test_whole_title_is_preferred_to_a_title_that_contains_it():
    assert history.find_exhibit(REAL, "Backpropagation").number == "02"  # 04 goes through time
    assert history.find_exhibit(REAL, "transformer").number == "06"


@pytest.mark.parametrize("row", REAL.museum, ids=lambda row: row.number)
def test_every_exhibit_of_the_roadmap_is_found_by_its_number_and_title(row):
    assert history.find_exhibit(REAL, row.number) == row
    assert history.find_exhibit(REAL, str(int(row.number))) == row
    assert history.find_exhibit(REAL, row.title) == row


@pytest.mark.parametrize("row", REAL.milestones, ids=lambda row: row.year)
def test_every_milestone_of_the_roadmap_is_found_by_its_year_and_title(row):
    assert history.find_milestone(REAL, row.year) == row
    assert history.find_milestone(REAL, row.title) == row
    assert history.find_milestone(REAL, row.title.partition(":")[0]) == row


@pytest.mark.parametrize(
    ("find", "name", "complaint"),
    [
        (history.find_milestone, "1956", r"no milestone '1956' in ROADMAP.md; did you mean 19"),
        (history.find_milestone, "Percepton", "did you mean Perceptron"),
        (history.find_milestone, "zzz", "there are 1957 Perceptron, 1969 XOR, 1986 MLP"),
        (history.find_milestone, "", "there is no milestone ''"),
        (history.find_exhibit, "Backpropogation", "did you mean Backpropagation"),
        (history.find_exhibit, "qqq", "there are 01 N-gram language models, 02 Back"),
        (history.find_exhibit, "2022", "more than one exhibit '2022': 10 LoRA, 11 RLHF"),
        (history.find_exhibit, "language model", "more than one exhibit .*: 01 .*, 07 BERT"),
    ],
)
def test_unknown_or_ambiguous_name_is_refused_with_what_there_is(find, name, complaint):
    with pytest.raises(ValueError, match=complaint):
        find(PLAN, name)


def test_roadmap_without_milestones_says_so():
    bare = roadmap.parse(TEXT.partition("## Milestones")[0])
    with pytest.raises(ValueError, match="no milestone yet"):
        history.find_milestone(bare, "1957")
    with pytest.raises(ValueError, match="no exhibit yet"):
        history.find_exhibit(bare, "01")


# ---- running one -------------------------------------------------------------------------


def test_modules_to_run_come_in_the_order_of_the_table():
    assert history.to_run(PLAN.milestones[1]) == ("phase00.train_xor", "phase00.train_hidden")
    assert history.to_run(PLAN.museum[0]) == ("phase00.train_ngram", "phase00.plot_ngram")


def test_row_whose_scripts_are_to_come_cannot_be_run():
    with pytest.raises(ValueError, match="scripts of milestone 1986, MLP, are to come"):
        history.to_run(PLAN.milestones[2])
    with pytest.raises(ValueError, match="scripts of exhibit 02, Backpropagation, are to come"):
        history.to_run(PLAN.museum[1])


def test_run_link_that_is_no_module_of_a_phase_is_refused():
    with pytest.raises(
        ValueError, match=r"https://example\.org/lora of exhibit 10, LoRA, is no mod"
    ):
        history.to_run(PLAN.museum[4])
    notebook = Link("Run", "look", "phase-00-foundations/notes/look.ipynb")
    row = Exhibit("12", "Look", "2024", (0,), "", (notebook,), "1 s")
    with pytest.raises(ValueError, match="is no module"):
        history.to_run(row)


def test_gate_is_open_when_every_needed_item_is_verified():
    asked = []
    verified = {"0.1", "0.2", "0.4"}

    def is_verified(item_id):
        asked.append(item_id)
        return item_id in verified

    assert history.gate(PLAN, PLAN.milestones[1], is_verified) is None
    assert asked == ["0.1", "0.2", "0.4"]


def test_gate_names_the_items_still_to_be_passed_and_the_command_for_the_first():
    sentence = history.gate(PLAN, PLAN.milestones[1], lambda item_id: item_id == "0.1")
    assert sentence == (
        "before milestone 1969, XOR, can run on your own modules these must have passed: "
        "0.2 The chain rule, 0.4 Entropy; 0.2 is still to come"
    )


def test_gate_names_the_command_that_begins_the_first_where_that_is_written():
    link = Link("Read", "notes", "notes.md")
    items = tuple(replace(item, links=(link,)) for item in PLAN.phases[0].items)
    plan = replace(PLAN, phases=(replace(PLAN.phases[0], items=items), *PLAN.phases[1:]))
    sentence = history.gate(plan, plan.milestones[1], lambda item_id: item_id == "0.1")
    assert sentence is not None
    assert sentence.endswith("begin with `uv run journal practice 0.2`")


def test_gate_goes_by_what_was_verified_and_not_by_the_tick():
    sentence = history.gate(PLAN, PLAN.milestones[0], lambda item_id: False)
    assert sentence is not None
    assert "0.1 Vectors, 0.3 Softmax" in sentence


@pytest.mark.parametrize("row", REAL.milestones, ids=lambda row: row.year)
def test_every_milestone_of_the_roadmap_is_gated_on_all_its_items(row):
    sentence = history.gate(REAL, row, lambda item_id: False)
    assert sentence is not None
    assert all(f"{need} {REAL.item(need).title}" in sentence for need in row.needs)
    assert history.gate(REAL, row, lambda item_id: True) is None

"""Ticks and their evidence: written whole, never lost, and never worth more than they show."""

import json
import threading
from pathlib import Path

import pytest
import small_journal

from journal import logbook, roadmap
from journal.logbook import Entry

FILE = Path("practice/phase00/thing.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_journal.make(tmp_path)


def state(root: Path, item_id: str = "0.1") -> str:
    return logbook.states(root, roadmap.load(root))[item_id]


def write(root: Path, text: str) -> None:
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text(text)


def passed(root: Path, *, ok: bool = True) -> None:
    sums = logbook.hashes(root, [FILE])
    logbook.append(root, Entry("0.1", "check", files=sums, passed=4, expected=4, ok=ok))


def test_what_is_appended_is_read_back_in_order(root: Path) -> None:
    entries = [Entry("0.1", "hint", say="double 1"), Entry("0.2", "self-reported")]
    for entry in entries:
        logbook.append(root, entry)
    assert logbook.read(root) == entries


def test_a_log_that_is_not_there_is_empty(root: Path) -> None:
    assert logbook.read(root) == []


def test_half_a_line_at_the_end_is_left_out_and_then_replaced(root: Path) -> None:
    logbook.append(root, Entry("0.1", "hint", say="double 1"))
    log = root / logbook.LOG
    log.write_bytes(log.read_bytes() + b'{"item": "0.1", "ki')
    assert [entry.say for entry in logbook.read(root)] == ["double 1"]
    logbook.append(root, Entry("0.1", "hint", say="double 2"))
    assert [entry.say for entry in logbook.read(root)] == ["double 1", "double 2"]


def test_a_whole_last_line_without_its_end_is_kept(root: Path) -> None:
    logbook.append(root, Entry("0.1", "hint", say="double 1"))
    log = root / logbook.LOG
    log.write_bytes(log.read_bytes().rstrip(b"\n"))
    assert [entry.say for entry in logbook.read(root)] == ["double 1"]
    logbook.append(root, Entry("0.1", "hint", say="double 2"))
    assert [entry.say for entry in logbook.read(root)] == ["double 1", "double 2"]


@pytest.mark.parametrize(
    "line", ["[1]", '{"item": "0.1"}', '{"item": "0.1", "kind": "magic"}', "x"]
)
def test_a_line_that_is_no_entry_is_named(root: Path, line: str) -> None:
    log = root / logbook.LOG
    log.parent.mkdir(exist_ok=True)
    log.write_text(json.dumps({"item": "0.1", "kind": "check", "time": "t"}) + f"\n{line}\n")
    with pytest.raises(ValueError, match="line 2 is not an entry"):
        logbook.read(root)


def test_a_log_in_another_encoding_is_told_in_one_sentence(root: Path) -> None:
    log = root / logbook.LOG
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b'{"item": "caf\xe9"}\n')
    with pytest.raises(ValueError, match="not UTF-8 text"):
        logbook.read(root)


def test_a_tick_changes_one_character_of_the_roadmap(root: Path) -> None:
    before = (root / "ROADMAP.md").read_bytes()
    assert logbook.tick(root, small_journal.item(root))
    after = (root / "ROADMAP.md").read_bytes()
    assert after == before.replace(b"- [ ] **0.1", b"- [x] **0.1")
    assert not logbook.tick(root, small_journal.item(root))
    assert logbook.tick(root, small_journal.item(root), done=False)
    assert (root / "ROADMAP.md").read_bytes() == before


def test_a_roadmap_with_windows_line_ends_keeps_them(root: Path) -> None:
    path = root / "ROADMAP.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    before = path.read_bytes()
    logbook.tick(root, small_journal.item(root))
    assert path.read_bytes() == before.replace(b"- [ ] **0.1", b"- [x] **0.1")


def test_an_item_that_moved_meanwhile_is_ticked_where_it_is_now(root: Path) -> None:
    item = small_journal.item(root)
    path = root / "ROADMAP.md"
    path.write_text("\n" + path.read_text())
    assert logbook.tick(root, item)
    assert small_journal.item(root).done
    assert not small_journal.item(root, "0.2").done


def test_two_ticks_at_once_are_both_kept(root: Path) -> None:
    items = [small_journal.item(root, item_id) for item_id in ("0.1", "0.2")]
    together = threading.Barrier(2)

    def tick(item) -> None:
        together.wait()
        logbook.tick(root, item)

    for _ in range(20):
        threads = [threading.Thread(target=tick, args=(item,)) for item in items]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(small_journal.item(root, item.id).done for item in items)
        for item in items:
            logbook.tick(root, item, done=False)


def test_an_item_is_to_come_then_open_then_begun(root: Path) -> None:
    assert state(root, "0.3") == "to come"
    assert state(root) == "open"
    write(root, "x = 1\n")
    assert state(root) == "begun"


def test_a_tick_without_evidence_is_self_reported(root: Path) -> None:
    logbook.tick(root, small_journal.item(root))
    assert state(root) == "self-reported"


def test_a_tick_holds_while_the_files_are_those_that_passed(root: Path) -> None:
    write(root, "x = 1\n")
    passed(root)
    logbook.tick(root, small_journal.item(root))
    assert state(root) == "verified"
    write(root, "x = 2\n")
    assert state(root) == "stale"
    write(root, "x = 1\n")
    assert state(root) == "verified"
    (root / FILE).unlink()
    assert state(root) == "stale"


def test_the_same_file_that_fails_later_is_failing(root: Path) -> None:
    write(root, "x = 1\n")
    passed(root)
    logbook.tick(root, small_journal.item(root))
    passed(root, ok=False)  # all tests passed, and yet: the process did not end, for example
    assert state(root) == "failing"


def test_what_passed_is_verified_again_when_a_failed_try_is_taken_back(root: Path) -> None:
    write(root, "x = 1\n")
    passed(root)
    logbook.tick(root, small_journal.item(root))
    write(root, "x = 2\n")
    passed(root, ok=False)
    assert state(root) == "failing"
    write(root, "x = 1\n")
    assert state(root) == "verified"


def test_a_tick_by_hand_that_never_passed_stays_self_reported(root: Path) -> None:
    write(root, "x = 1\n")
    logbook.tick(root, small_journal.item(root))
    passed(root, ok=False)
    assert state(root) == "self-reported"


def test_what_a_later_version_adds_to_an_entry_does_no_harm(root: Path) -> None:
    logbook.append(root, Entry("0.1", "hint", say="double 1"))
    log = root / logbook.LOG
    log.write_text(log.read_text().replace('{"commit"', '{"mood": "good", "commit"'))
    assert logbook.read(root)[0].say == "double 1"


def test_a_hint_is_no_evidence(root: Path) -> None:
    logbook.append(root, Entry("0.1", "hint", say="double 1"))
    logbook.tick(root, small_journal.item(root))
    assert state(root) == "self-reported"


def test_no_commit_is_known_outside_git(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(root.parent))
    assert logbook.commit(root) is None

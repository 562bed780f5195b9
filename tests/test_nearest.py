"""What is suggested for a name that does not exist."""

from journal.nearest import nearest, suggestion


def test_nearest_names_come_best_first_and_none_where_nothing_is_like_it():
    assert nearest("shw", ["status", "show", "shows"]) == ["show", "shows"]
    assert nearest("xyz", ["status", "show"]) == []


def test_suggestion_names_what_is_near_else_all_that_there_is():
    assert suggestion("lage", ["small", "large"]) == "did you mean large?"
    assert suggestion("xyz", iter(["small", "large"])) == "there are small, large"


def test_long_list_is_cut_off_and_says_so():
    text = suggestion("xyz", [f"novel-{number}" for number in range(1, 88)])
    assert text.endswith("novel-19, novel-20 and 67 more")

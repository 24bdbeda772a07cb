import pytest

from consonance.errors import InputError


def test_one_sentence_stands_alone():
    error = InputError("The file a.wav is empty.")
    assert str(error) == "The file a.wav is empty."
    assert error.problems == ["The file a.wav is empty."]


def test_several_sentences_are_all_listed():
    error = InputError(["First.", "Second."])
    assert str(error) == "2 problems:\n  - First.\n  - Second."


def test_an_error_without_a_sentence_is_a_mistake():
    with pytest.raises(ValueError, match="at least one sentence"):
        InputError([])

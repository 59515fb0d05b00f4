import pytest

from imcomp.errors import InputError, suggest


@pytest.mark.parametrize(
    ("name", "choices", "words"),
    [
        ("adamm", ["adam", "adamw", "sgd"], "did you mean adam?"),
        ("model.lrr", ["model.lr", "data.size"], "did you mean model.lr?"),
        ("unet", ["autoencoder"], "choose from autoencoder"),
        ("xyz", ["b", "c", "a"], "choose from a, b, c"),
    ],
)
def test_suggestion(name, choices, words):
    assert suggest(name, choices) == words


def test_a_mistake_is_a_value_error():
    assert issubclass(InputError, ValueError)  # what a library's user expects of a wrong argument

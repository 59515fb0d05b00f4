import sys

import pytest

from imcomp.data.progress import with_bar


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("total", [4, 400])
def test_a_bar_is_for_many_pictures_on_a_terminal(monkeypatch, capsys, terminal, total):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)

    assert list(with_bar(iter([1, 2, 1]), "Cutting", total, lambda item: item)) == [1, 2, 1]

    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("Cutting" in shown.err) == (terminal and total == 400)

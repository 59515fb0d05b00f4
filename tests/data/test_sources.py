import pytest

from imcomp.data.folders import FolderSource, GTSRBSource
from imcomp.data.sources import SOURCES, build_source, left_out
from imcomp.data.synthetic import SyntheticSource
from imcomp.errors import InputError


def test_build_source_makes_each_kind(picture_folder, miniature_gtsrb):
    assert isinstance(build_source("folder", {"root": picture_folder}), FolderSource)
    assert isinstance(build_source("gtsrb", {"root": miniature_gtsrb}), GTSRBSource)
    assert isinstance(build_source("synthetic", {"count": 3}), SyntheticSource)
    assert left_out(build_source("synthetic", {"count": 3})) == ()


def test_an_unknown_source_lists_the_choices():
    with pytest.raises(InputError, match="unknown source 'web'; choose from") as error:
        build_source("web", {})

    assert all(name in str(error.value) for name in SOURCES)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("folder", {"path": "x"}, "data source 'folder': .*'path'"),
        ("folder", {}, "data source 'folder': .*'root'"),
        ("synthetic", {"count": 0}, "data source 'synthetic': count is 0"),
    ],
)
def test_options_that_a_source_refuses_name_it(name, options, what):
    with pytest.raises(InputError, match=what):
        build_source(name, options)

"""The rendered traffic signs: repeatable, varied, and as dark, soft and small as real ones."""

from __future__ import annotations

import hashlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from imcomp.data.signs import render_sign
from imcomp.data.signs.camera import MAX_SIZE, MIN_SIZE
from imcomp.data.signs.catalogue import SIGNS
from imcomp.data.signs.pen import Pen
from imcomp.data.synthetic import SyntheticSource


def digest(image: Image.Image) -> str:
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def grey(image: Image.Image, side: int = 24) -> np.ndarray:
    """Array (side, side) in [0, 1]."""
    small = image.convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255


def unlit(image: Image.Image) -> np.ndarray:
    """Grey values with mean 0 and variance 1: what is left when brightness and contrast are taken away."""
    values = grey(image)
    return (values - values.mean()) / (values.std() + 1e-3)


@pytest.fixture(scope="module")
def tracks() -> list[Image.Image]:
    """One picture each of 150 tracks, from all parts of the approach."""
    source = SyntheticSource(count=150 * 31, seed=11)
    return [source.read(index * 31) for index in range(150)]


def test_reading_order_does_not_matter() -> None:
    source = SyntheticSource(count=40, seed=3, frames_per_track=5)
    forwards = {index: digest(source.read(index)) for index in range(40)}
    shuffled = [int(index) for index in np.random.default_rng(0).permutation(40)]
    assert {index: digest(source.read(index)) for index in shuffled} == forwards


def test_count_does_not_change_the_pictures() -> None:
    assert digest(SyntheticSource(count=8).read(7)) == digest(SyntheticSource(count=5000).read(7))


def test_pickled_copy_in_a_fresh_process_reads_the_same() -> None:
    source = SyntheticSource(count=70, seed=5)
    script = (
        "import hashlib, pickle, sys\n"
        "source = pickle.loads(sys.stdin.buffer.read())\n"
        "for index in (69, 0, 31):\n"
        "    image = source.read(index)\n"
        "    print(hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(source), capture_output=True, check=True)
    assert done.stdout.decode().split() == [digest(source.read(index)) for index in (69, 0, 31)]


def test_global_random_state_is_neither_read_nor_changed() -> None:
    expected = digest(SyntheticSource(count=3).read(2))
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = repr((np.random.get_state(), random.getstate()))  # noqa: NPY002
        assert digest(SyntheticSource(count=3).read(2)) == expected
        assert repr((np.random.get_state(), random.getstate())) == before  # noqa: NPY002


def test_seeds_and_indices_differ() -> None:
    pictures = [SyntheticSource(count=60, seed=seed).read(index) for seed in (0, 1, 2) for index in (0, 1, 30, 31)]
    assert len({digest(picture) for picture in pictures}) == 12


def test_sizes_follow_gtsrb(tracks: list[Image.Image]) -> None:
    sides = np.array([picture.size for picture in tracks])
    assert sides.min() >= MIN_SIZE
    assert sides.max() <= MAX_SIZE
    assert 36 <= np.median(sides) <= 52
    assert sides.max() > 90
    assert all(picture.mode == "RGB" for picture in tracks)


def test_sign_grows_along_a_track() -> None:
    source = SyntheticSource(count=300, seed=1)
    widths = np.array([source.read(index).width for index in range(300)]).reshape(10, 30)
    assert (widths[:, -5:].mean(axis=1) > 1.15 * widths[:, :5].mean(axis=1)).all()


def test_frames_of_a_track_resemble_each_other() -> None:
    source = SyntheticSource(count=12 * 30, seed=2)
    frames = np.stack([[unlit(source.read(30 * track + frame)) for frame in (12, 14, 16)] for track in range(12)])
    within = np.abs(frames[:, 0] - frames[:, 1]).mean(axis=(1, 2))
    across = np.abs(frames[:, 0] - np.roll(frames[:, 1], 1, axis=0)).mean(axis=(1, 2))
    assert np.median(within) < 0.6 * np.median(across)
    # ... yet they are different photographs.
    assert (within > 0.01).all()


def test_names_and_groups() -> None:
    source = SyntheticSource(count=100, frames_per_track=30)
    assert len(source) == 100
    assert source.name(3 * 30 + 7) == "00003_00007"
    assert source.group(3 * 30 + 7) == "00003"
    assert len({source.name(index) for index in range(100)}) == 100
    assert [source.group(index) for index in range(100)] == sorted(source.group(index) for index in range(100))
    assert len({source.group(index) for index in range(100)}) == 4


def test_one_frame_per_track_makes_every_picture_a_group() -> None:
    source = SyntheticSource(count=20, frames_per_track=1)
    assert len({source.group(index) for index in range(20)}) == 20
    # With no approach to place it in, a picture is taken from any distance.
    assert len({source.read(index).width for index in range(20)}) > 5


@pytest.mark.parametrize("index", [-1, 10, 11])
def test_index_outside(index: int) -> None:
    source = SyntheticSource(count=10)
    for method in (source.read, source.name, source.group):
        with pytest.raises(IndexError, match=f"picture {index} .* holds 0 to 9"):
            method(index)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count is 0; .* at least 1"),
        ({"count": 5, "seed": -1}, "seed is -1; pass 0 or a positive integer"),
        ({"count": 5, "frames_per_track": 0}, "frames_per_track is 0; pass 1"),
    ],
)
def test_bad_arguments(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        SyntheticSource(**arguments)
    assert "\n" not in str(caught.value)


def test_render_sign_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(ValueError, match=r"unknown kind of sign 'speed_51'; choose from .*speed_50"):
        render_sign(0, 0, 1, kind="speed_51")
    with pytest.raises(ValueError, match="frame 30 of a track of 30"):
        render_sign(0, 30, 30)


@pytest.mark.parametrize("kind", SIGNS)
def test_every_sign_has_a_face_inside_its_box(kind: str) -> None:
    side = 160
    face = Image.new("RGBA", (side, side))
    SIGNS[kind].draw(Pen(face, unit=side / 2 / 1.1))
    pixels = np.asarray(face)
    covered = pixels[..., 3] > 0
    assert covered[side // 2, side // 2]
    assert 0.3 < covered.mean() < 0.9
    rows, columns = np.nonzero(covered.any(axis=1))[0], np.nonzero(covered.any(axis=0))[0]
    unit = side / 2 / 1.1
    assert np.ptp(columns) / unit == pytest.approx(2.0, abs=0.12)
    assert np.ptp(rows) / unit == pytest.approx(2 * SIGNS[kind].height, abs=0.12)
    assert render_sign(1, 3, 4, kind=kind).mode == "RGB"


def test_signs_look_different_from_each_other() -> None:
    # The same street with every sign in turn; only the face can make the difference.
    views = [unlit(render_sign((0, 4), 29, 30, kind=kind)) for kind in SIGNS]
    distances = [np.abs(views[i] - views[j]).mean() for i in range(len(views)) for j in range(i)]
    assert min(distances) > 0.005


def test_tracks_show_many_kinds_of_signs(tracks: list[Image.Image]) -> None:
    hues = np.array([np.asarray(picture.resize((1, 1), Image.Resampling.BOX), float)[0, 0] for picture in tracks])
    redness, blueness = hues[:, 0] - hues[:, 1:].mean(axis=1), hues[:, 2] - hues[:, :2].mean(axis=1)
    assert (redness > 10).mean() > 0.1
    assert (blueness > 5).mean() > 0.05


def test_light_and_contrast_are_those_of_photographs(tracks: list[Image.Image]) -> None:
    # GTSRB training set: mean 0.31 (5 % .08, 95 % .66), standard deviation 0.16 (5 % .03, 95 % .31).
    values = [grey(picture) for picture in tracks]
    means, contrasts = np.array([v.mean() for v in values]), np.array([v.std() for v in values])
    assert 0.22 < means.mean() < 0.42
    assert np.quantile(means, 0.1) < 0.2
    assert np.quantile(means, 0.9) > 0.42
    assert 0.1 < contrasts.mean() < 0.2
    assert (contrasts > 0.01).mean() > 0.97
    assert np.mean([(v > 0.99).mean() for v in values]) < 0.15


def test_centre_is_worth_completing(tracks: list[Image.Image]) -> None:
    # The hole is the middle 40 of 256 pixels; GTSRB's median standard deviation there is 0.075.
    resized = [np.asarray(picture.convert("L").resize((256, 256)), float) / 255 for picture in tracks]
    spread = np.array([picture[108:148, 108:148].std() for picture in resized])
    assert 0.04 < np.median(spread) < 0.14


def test_fingerprint_names_all_that_decides_on_the_pictures() -> None:
    sources = [(8, 0, 4), (8, 0, 4), (9, 0, 4), (8, 1, 4), (8, 0, 5)]
    prints = [SyntheticSource(*options).fingerprint() for options in sources]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4

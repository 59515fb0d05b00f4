"""Completing a picture: any size, grey or colour, and not one known pixel changed."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import imcomp.inference
from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.filling import fill
from imcomp.inference import TRAINING_OPTIONS, Completer, find_device, load_trained
from imcomp.models.autoencoder import Autoencoder
from imcomp.module import InpaintingModule

SIZE = 32


def save_checkpoint(path, in_channels=1, **changes):
    """A tiny network, untrained, in a checkpoint as training leaves it."""
    torch.manual_seed(0)
    module = InpaintingModule(channels=[4, 8], in_channels=in_channels)
    checkpoint = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "datamodule_hyper_parameters": {"size": SIZE, "mask": {"name": "center", "size": 8}},
        **changes,
    }
    torch.save({key: value for key, value in checkpoint.items() if value is not None}, path)
    return path


@pytest.fixture(scope="module")
def completers(tmp_path_factory):
    """By the network's number of channels."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {channels: Completer(save_checkpoint(folder / f"{channels}.ckpt", channels), "cpu") for channels in (1, 3)}


@pytest.fixture
def completer(completers):
    return completers[1]


def picture(width, height, mode="L", seed=0):
    shape = (height, width) if mode == "L" else (height, width, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def hole_in(image, box=None):
    """A mask with a rectangular hole, by default the middle."""
    width, height = image.size
    mask = Image.new("L", image.size)
    mask.paste(255, box or (width // 4, height // 4, width - width // 4, height - height // 4))
    return mask


@pytest.mark.parametrize("network", [1, 3], ids=["grey network", "colour network"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(32, 32), (45, 31), (7, 100), (1, 1), (1, 9), (300, 200)])
def test_known_pixels_stay_and_the_hole_is_filled(completers, network, mode, size):
    image = picture(*size, mode)
    mask = hole_in(image)

    completed = completers[network].complete(image, mask)

    assert (completed.mode, completed.size) == (mode, size)
    before, after, hole = np.asarray(image), np.asarray(completed), np.asarray(mask) > 0
    assert np.array_equal(before[~hole], after[~hole])
    assert (before[hole] != after[hole]).any()


@pytest.mark.parametrize("network", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(32, 32), (20, 50), (130, 90)])
def test_what_is_under_the_hole_is_not_seen(completers, network, mode, size):
    image = picture(*size, mode)
    mask = hole_in(image)
    other = Image.composite(picture(*size, mode, seed=1), image, mask)
    assert np.asarray(other).tolist() != np.asarray(image).tolist()

    assert completers[network].complete(image, mask) == completers[network].complete(other, mask)


def test_a_single_pixel_of_hole_in_a_large_picture_is_not_seen(completer):
    image, mask = Image.new("L", (1500, 1500), 0), Image.new("L", (1500, 1500))
    mask.putpixel((700, 700), 255)
    seen = []
    completer.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0]))
    white = image.point(lambda value: 255)
    completer.complete(white, mask)
    completer.network._forward_pre_hooks.clear()
    # the hole that the network knows, and nothing else
    assert (seen[0] == 0).sum() == 8 * 8


def test_without_a_hole_the_picture_comes_back(completer):
    image = picture(40, 30, "RGB")
    assert completer.complete(image, Image.new("L", image.size)) == image


def test_a_hole_of_the_whole_picture_is_filled(completer):
    image = picture(40, 30)
    full = Image.new("L", image.size, 255)
    assert completer.complete(image, full) == completer.complete(picture(40, 30, seed=1), full)


@pytest.mark.parametrize(
    ("strategy", "box"),
    [
        ("auto", (12, 12, 20, 20)),
        ("auto", (14, 12, 20, 19)),
        ("resize", None),
        ("original", None),
        ("resize", (1, 2, 9, 5)),
    ],
)
def test_at_its_own_size_the_networks_output_fills_the_hole(completer, strategy, box):
    image = picture(SIZE, SIZE)
    mask = hole_in(image, box)
    hidden = hole_in(image, (12, 12, 20, 20)) if strategy == "auto" else mask
    pixels, hole = (torch.from_numpy(np.array(one))[None, None].float() / 255 for one in (image, hidden))

    with torch.no_grad():
        output = (fill(completer.network, pixels, hole).clamp(0, 1) * 255).round().byte()[0, 0].numpy()

    expected = np.where(np.asarray(mask) > 0, output, np.asarray(image))
    (completed,) = completer.complete_batch([image], [mask], strategy=strategy)
    assert np.abs(np.asarray(completed, int) - expected).max() <= 1
    assert np.array_equal(np.asarray(completer.complete(image, mask, strategy=strategy)), np.asarray(completed))


class WholePicture:
    """Hides from ``fill`` where the hole is."""

    @staticmethod
    def fill(network, image, mask, box, **_):
        return box.crop(fill(network, image, mask))


@pytest.mark.parametrize("network", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (20, 50), (130, 90)])
def test_computing_only_what_the_hole_needs_gives_the_same(completers, network, size, monkeypatch):
    completer = completers[network]
    images = [picture(*size, mode, seed) for seed, mode in enumerate(("L", "RGB", "L"))]
    masks = [hole_in(images[0], box) for box in (None, (1, 2, 9, 5), (0, 0, 2, 2))]
    narrow = completer.complete_batch(images, masks)
    monkeypatch.setattr(imcomp.inference, "fill", WholePicture.fill)
    for one, whole in zip(narrow, completer.complete_batch(images, masks), strict=True):
        assert np.abs(np.asarray(one, int) - np.asarray(whole, int)).max() <= 1


def test_equal_holes_are_computed_together(completer, monkeypatch):
    seen = []

    def noted(network, image, mask, box, **options):
        seen.append((len(image), box))
        return fill(network, image, mask, box, **options)

    monkeypatch.setattr(imcomp.inference, "fill", noted)
    images = [picture(SIZE, SIZE) for _ in range(4)]
    holes = [(12, 12, 20, 20), (4, 8, 8, 16), (12, 13, 19, 20), (0, 0, 0, 0)]
    completed = completer.complete_batch(images, [hole_in(images[0], box) for box in holes])
    assert seen == [(2, Box(12, 12, 20, 20)), (1, Box(8, 4, 16, 8))]
    assert completed[3] == images[3]


@pytest.mark.parametrize(
    ("mask", "context", "expected"),
    [
        ({"name": "center", "size": 8}, None, "reach"),
        ({"name": "center", "size": 8}, "reach", "reach"),
        ({"name": "center", "size": 8}, 3, 3),
        ({"name": "box", "size": [4, 8]}, 3, "reach"),  # trained on the whole picture
    ],
)
def test_the_network_sees_what_it_was_trained_to_see(tmp_path, mask, context, expected):
    options = {"channels": [4, 8], "context": context}
    changes = {"hyper_parameters": options, "datamodule_hyper_parameters": {"size": SIZE, "mask": mask}}
    completer = Completer(save_checkpoint(tmp_path / "a.ckpt", **changes), "cpu")
    assert completer.context == expected
    image = picture(SIZE, SIZE)
    assert completer.complete(image, hole_in(image)) != image


def test_bfloat16_is_near(tmp_path):
    path = save_checkpoint(tmp_path / "a.ckpt")
    image = picture(SIZE, SIZE)
    exact, near = (Completer(path, "cpu", precision=precision) for precision in ("32", "bf16"))
    difference = np.asarray(exact.complete(image, hole_in(image)), int) - np.asarray(
        near.complete(image, hole_in(image))
    )
    assert 0 < np.abs(difference).max() < 16
    assert {exact.dtype, near.dtype} == {torch.float32, torch.bfloat16}


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_the_quicker_precision_is_the_devices(tmp_path, monkeypatch, precision, dtype):
    monkeypatch.setattr(imcomp.inference, "fastest_precision", lambda device: precision)
    path = save_checkpoint(tmp_path / "a.ckpt")
    assert Completer(path, "cpu", precision="auto").dtype == dtype
    assert Completer(path, "cpu").dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "16"}, "^precision=16 is unknown; choose from auto, 32, bf16$"),
        ({"backend": "tvm"}, "^backend=tvm is unknown; choose from auto, eager, compile, onnx$"),
    ],
)
def test_unknown_ways_to_compute_are_told(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        Completer(save_checkpoint(tmp_path / "a.ckpt"), "cpu", **options)


def test_a_checkpoint_of_denormals_is_read_without_them(tmp_path):
    torch.set_flush_denormal(False)  # to see them
    module = InpaintingModule(channels=[4, 8])
    weights = {key: value * 1e-39 if value.is_floating_point() else value for key, value in module.state_dict().items()}
    network = load_trained(save_checkpoint(tmp_path / "a.ckpt", state_dict=weights)).network
    assert not any(value.any() for value in network.parameters())


def test_which_options_only_train():
    network = inspect.signature(Autoencoder).parameters.keys()
    computes = {"network", "mean", "std", "context", "network_options"}
    module = inspect.signature(InpaintingModule).parameters.keys() - computes
    assert module - network == TRAINING_OPTIONS, "say in TRAINING_OPTIONS what a new option of the module is"


def test_a_grey_network_completes_each_channel_by_itself(completer):
    image = picture(50, 40, "RGB")
    mask = hole_in(image)
    channels = [completer.complete(band, mask) for band in image.split()]
    difference = np.asarray(Image.merge("RGB", channels), int) - np.asarray(completer.complete(image, mask))
    assert np.abs(difference).max() <= 1  # batches of other sizes may round otherwise


def test_a_batch_is_as_one_by_one(completer):
    images = [picture(32, 32), picture(50, 40, "RGB"), picture(9, 70)]
    masks = [hole_in(image) for image in images]
    for together, image, mask in zip(completer.complete_batch(images, masks), images, masks, strict=True):
        alone = completer.complete(image, mask, strategy="resize")
        assert (together.mode, together.size) == (alone.mode, alone.size)
        assert np.abs(np.asarray(together, int) - np.asarray(alone, int)).max() <= 1
    assert completer.complete_batch([], []) == []


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_masks_of_other_modes(completer, mode):
    image = picture(32, 32)
    mask = hole_in(image)
    assert completer.complete(image, mask.convert(mode)) == completer.complete(image, mask)


@pytest.mark.parametrize(("level", "is_hole"), [(127, False), (128, True)])
def test_a_mask_is_cut_at_half(completer, level, is_hole):
    image = picture(32, 32)
    completed = completer.complete(image, Image.new("L", image.size, level))
    assert (completed != image) is is_hole


@pytest.mark.parametrize(
    ("mode", "mask_size", "message"),
    [
        ("L", (31, 32), "the mask is 31x32, the picture 32x32; give a mask of its size"),
        ("RGBA", (31, 32), "the mask is 31x32, the picture 32x32; give a mask of its size"),
    ],
)
def test_what_does_not_fit_is_told(completer, mode, mask_size, message):
    with pytest.raises(InputError) as raised:
        completer.complete_batch([Image.new(mode, (32, 32))], [Image.new("L", mask_size)])
    assert str(raised.value) == message


def test_a_batch_that_is_none_is_told(completer):
    image, mask = Image.new("L", (32, 32)), Image.new("L", (32, 32))
    for images, masks, words in (
        ([image], [mask, mask], "there are 2 masks for 1 pictures; give one for each"),
        ([np.zeros((32, 32))], [mask], "a ndarray is not taken here; give PIL images"),
        ([image], [None], "a NoneType is not taken here; give PIL images"),
    ):
        with pytest.raises(InputError, match=words):
            completer.complete_batch(images, masks)
    with pytest.raises(InputError, match="a ndarray is not taken here"):
        completer.cut_hole(np.zeros((32, 32)))
    with pytest.raises(InputError, match="strategy=None is unknown"):
        completer.complete(image, mask, strategy=None)


@pytest.mark.parametrize(
    ("size", "box"),
    [((32, 32), (12, 12, 20, 20)), ((64, 32), (24, 12, 40, 20)), ((320, 160), (120, 60, 200, 100))],
)
def test_a_hole_is_scaled_to_the_picture(completer, size, box):
    mask = completer.cut_hole(Image.new("L", size))
    assert (mask.mode, mask.size, mask.getbbox()) == ("L", size, box)
    assert set(np.asarray(mask).flat) == {0, 255}


def test_the_same_seed_cuts_the_same_hole(completer, monkeypatch):
    def one_column(size, seeds):
        mask = torch.zeros(len(seeds), 1, *size)
        mask[..., int(seeds[0]) % size[1]] = 1
        return mask

    monkeypatch.setattr(completer, "mask_generator", one_column)
    boxes = [completer.cut_hole(picture(32, 32), seed).getbbox() for seed in (*range(9), 0)]
    assert boxes[0] == boxes[-1]
    assert len(set(boxes)) > 3


def test_completing_twice_gives_the_same(completer):
    image = picture(50, 40, "RGB")
    assert completer.complete(image, hole_in(image)) == completer.complete(image, hole_in(image))


def test_the_network_is_in_evaluation_mode(completer):
    assert not any(module.training for module in completer.network.modules())
    before = {key: value.clone() for key, value in completer.network.state_dict().items()}
    completer.complete(picture(32, 32), hole_in(picture(32, 32)))
    after = completer.network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())  # batch norm learns nothing


def test_the_package_hands_out_the_completer_late():
    assert imcomp.Completer is Completer
    with pytest.raises(AttributeError, match="Compleeter"):
        _ = imcomp.Compleeter


def test_a_picture_of_any_kind_comes_back_as_it_is(completer):
    image = picture(100, 80, "RGB")
    mask = hole_in(image, (40, 30, 52, 42))
    array, hole = np.array(image), np.asarray(mask) > 0
    expected = np.asarray(completer.complete(image, mask))
    assert (expected[hole] != array[hole]).any()
    assert np.array_equal(completer.complete(array, hole), expected)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    assert np.array_equal(completer.complete(tensor, mask).permute(1, 2, 0).numpy(), expected)
    assert np.array_equal(array, np.asarray(image))


@pytest.mark.parametrize("strategy", ["auto", "crop", "original", "resize"])
def test_the_strategies(completers, strategy):
    image = picture(100, 80, "RGB")
    mask = hole_in(image, (40, 30, 52, 42))
    for completer in completers.values():
        completed = completer.complete(image, mask, strategy=strategy)
        before, after, hole = np.asarray(image), np.asarray(completed), np.asarray(mask) > 0
        assert np.array_equal(before[~hole], after[~hole])
        assert (before[hole] != after[hole]).any()


def test_as_it_is_is_the_networks_output_for_the_padded_picture(completer):
    image = picture(42, 38)
    mask = hole_in(image)
    multiple = completer.network.multiple
    beyond = ((0, -38 % multiple), (0, -42 % multiple))
    pixels, hole = (
        torch.from_numpy(np.pad(np.asarray(one), beyond, mode="symmetric"))[None, None].float() / 255
        for one in (image, mask)
    )
    with torch.no_grad():
        output = (fill(completer.network, pixels, hole).clamp(0, 1) * 255).round()[0, 0, :38, :42].numpy()
    expected = np.where(np.asarray(mask) > 0, output, np.asarray(image))
    completed = np.asarray(completer.complete(image, mask, strategy="original"), int)
    assert np.abs(completed - expected).max() <= 1


@pytest.mark.parametrize("box", [(4, 4, 12, 12), (70, 50, 90, 70), (90, 4, 100, 12)])
def test_larger_than_the_network_was_trained_on_the_hole_is_filled_where_it_is(completer, box):
    image = picture(100, 80)
    mask = hole_in(image, box)
    pixels, hole = (torch.from_numpy(np.array(one))[None, None].float() / 255 for one in (image, mask))
    original = completer.complete(image, mask, strategy="original")
    before, after, inside = np.asarray(image, int), np.asarray(original, int), np.asarray(mask) > 0
    assert np.array_equal(before[~inside], after[~inside])
    if box[2] <= 64 and box[3] <= 64:
        with torch.no_grad():
            output = (fill(completer.network, pixels[..., :80, :96], hole[..., :80, :96]).clamp(0, 1) * 255).round()
        assert np.abs(after[:80, :96] - output[0, 0].numpy())[inside[:80, :96]].max() <= 8  # it is shown a window
    assert (before != after)[inside].mean() > 0.9


def test_it_knows_how_thick_the_holes_of_training_were(tmp_path):
    def thickness(mask):
        data = {"size": SIZE, "mask": mask}
        path = save_checkpoint(tmp_path / "a.ckpt", datamodule_hyper_parameters=data)
        return Completer(path, "cpu").engine.training.thickness

    assert thickness({"name": "center", "size": 8}) == (8, 8)
    assert thickness({"name": "center", "size": [8, 20]}) == (8, 8)
    low, high = thickness({"name": "box", "size": [4, 12], "count": 1})
    assert 4 <= low < high <= 12
    assert thickness({"name": "folder", "root": "nowhere"}) == (1, 8)


LARGE = """
import resource, sys, time
import numpy as np
from PIL import Image
from imcomp import Completer
completer = Completer(sys.argv[1], "cpu")
ramp = Image.linear_gradient("L").resize((12000, 9000))
image = Image.merge("RGB", [ramp, ramp, ramp])
del ramp
mask = Image.new("L", image.size)
mask.paste(255, (6000, 4000, 6500, 4500))
started = time.perf_counter()
completed = completer.complete(image, mask, strategy=sys.argv[2])
seconds = time.perf_counter() - started
box = (6000, 4000, 6500, 4500)
assert completed.crop(box) != image.crop(box)
for edge in ((0, 0, 12000, 4000), (0, 4000, 6000, 4500), (6500, 4000, 12000, 4500), (0, 4500, 12000, 9000)):
    for part in range(edge[1], edge[3], 500):
        strip = (edge[0], part, edge[2], min(part + 500, edge[3]))
        assert completed.crop(strip) == image.crop(strip)
print(f"{sys.argv[2]}: {seconds:.1f} s", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["auto", "crop", "original", "resize"])
def test_a_picture_of_108_megapixels_takes_less_than_2_gb(tmp_path, strategy):
    module = InpaintingModule()
    data = {"size": 256, "mask": {"name": "center", "size": 40}}
    path = save_checkpoint(
        tmp_path / "a.ckpt",
        state_dict=module.state_dict(),
        hyper_parameters=dict(module.hparams),
        datamodule_hyper_parameters=data,
    )
    command = [sys.executable, "-c", LARGE, str(path), strategy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert int(done.stdout.split()[-1]) < 2000  # MiB at the most, interpreter and torch included


@pytest.mark.slow
def test_completing_needs_no_hydra():
    script = "import sys; from imcomp import Completer; print({'hydra', 'omegaconf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no checkpoint .*; give the path of a .ckpt file"),
        (b"", "damaged or not a checkpoint"),
        (b"no checkpoint at all", "damaged or not a checkpoint"),
        ({"weights": torch.zeros(1)}, "is not a checkpoint of imcomp"),
        ([1, 2], "is not a checkpoint of imcomp"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_told(tmp_path, content, words):
    path = tmp_path / "a.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=words) as raised:
        Completer(path)
    assert "\n" not in str(raised.value)


def test_a_truncated_checkpoint_is_told(tmp_path):
    path = save_checkpoint(tmp_path / "a.ckpt")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="is damaged or"):
        Completer(path)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"datamodule_hyper_parameters": None}, "does not say how its network was trained"),
        ({"datamodule_hyper_parameters": {"mask": {"name": "center"}}}, "does not say which size and hole"),
        ({"datamodule_hyper_parameters": {"size": 32, "mask": {"name": "star"}}}, "unknown mask 'star'"),
        ({"hyper_parameters": {"network": "gan"}}, "cannot rebuild: unknown network 'gan'"),
        ({"hyper_parameters": {"channels": [4, 8], "wings": 2}}, "cannot rebuild: .*wings"),
        ({"hyper_parameters": {"channels": [8, 8]}}, "cannot rebuild: encoder.0.0.weight is .*, expected"),
        ({"state_dict": {}}, "cannot rebuild: encoder.0.0.weight is missing"),
        ({"extra": Evil()}, "damaged or not a checkpoint"),
    ],
)
def test_a_foreign_checkpoint_is_told_and_executes_nothing(tmp_path, capsys, changes, words):
    with pytest.raises(InputError, match=words) as raised:
        Completer(save_checkpoint(tmp_path / "a.ckpt", **changes))
    assert "\n" not in str(raised.value)
    assert "executed" not in capsys.readouterr().out


def test_loading_needs_the_checkpoint_alone(tmp_path):
    trained = load_trained(str(save_checkpoint(tmp_path / "a.ckpt", 3)))
    assert trained.in_channels == 3
    assert trained.data["size"] == SIZE


@pytest.mark.parametrize("name", ["abacus", "", "cpu:x", "hpu"])
def test_an_unknown_device_is_told(name):
    with pytest.raises(InputError, match=f"^device '{name}' is not there .*; give auto or cpu$") as raised:
        find_device(name)
    assert "\n" not in str(raised.value)


def test_devices():
    assert find_device("cpu") == torch.device("cpu")
    assert (
        find_device("auto").type
        == (torch.accelerator.current_accelerator(check_available=True) or find_device("cpu")).type
    )


@pytest.mark.parametrize(("channels", "size"), [(1, (32, 32)), (1, (100, 70)), (3, (45, 31))])
def test_a_self_ensemble_completes_mirrored_pictures_alike(tmp_path, channels, size):
    checkpoint = save_checkpoint(tmp_path / "a.ckpt", channels)
    completer = Completer(checkpoint, "cpu", self_ensemble=True)
    image = picture(*size, "L" if channels == 1 else "RGB")
    mask = hole_in(image)
    completed = completer.complete(image, mask)
    mirrored = completer.complete(ImageOps.mirror(image), ImageOps.mirror(mask))
    difference = np.asarray(ImageOps.mirror(mirrored), int) - np.asarray(completed, int)
    assert np.abs(difference).max() <= 1  # rounding
    assert completed != Completer(checkpoint, "cpu").complete(image, mask)
    known = np.asarray(mask) == 0
    assert np.array_equal(np.asarray(completed)[known], np.asarray(image)[known])

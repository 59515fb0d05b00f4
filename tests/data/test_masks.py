import logging
import re
import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from imcomp.cli import config_dir
from imcomp.config import check_options
from imcomp.data import strokes
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.masks import MASKS, CenterMask, MixedMask, build_mask, mix_seeds, try_holes
from imcomp.errors import InputError
from imcomp.inference import TorchCompleter

FILES = {file.stem: file.read_text("utf-8") for file in sorted((config_dir() / "mask").glob("*.yaml"))}
OPTIONS = list(FILES)
PAGE = config_dir().parent / "docs" / "masks.md"
HOLES = [{"name": "box", "count": 1, "size": 1}, {"name": "grid", "cell": 8, "hole": 4, "offset": 0}]


@pytest.fixture(scope="module")
def mask_folder(tmp_path_factory):
    """Three masks of 8 x 8 pixels; the hole of the first is its left column, of the next two columns, of three."""
    root = tmp_path_factory.mktemp("masks")
    for index in range(3):
        image = Image.new("L", (8, 8))
        image.paste(255, (0, 0, index + 1, 8))
        image.save(root / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def options(mask_folder):
    """The plain options of each YAML file of conf/mask, by its name."""
    with initialize_config_dir(str(config_dir())):
        return {name: compose("train", overrides(name, mask_folder)).mask for name in OPTIONS}


def overrides(name, mask_folder):
    return [f"mask={name}", *([f"mask.root={mask_folder}"] if name == "folder" else [])]


@pytest.fixture(params=OPTIONS)
def generator(request, options):
    return build_mask(OmegaConf.to_container(options[request.param], resolve=True))


def test_every_mask_has_an_option_of_its_name():
    assert set(MASKS) <= set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_checked_and_says_what_the_class_would(options, name):
    check_options(options[name], "mask", MASKS, "name")

    values = OmegaConf.to_container(options[name])
    if name in MASKS and name not in ("folder", "mixed"):
        assert vars(build_mask(values)) == vars(MASKS[name]())


@pytest.mark.parametrize("name", OPTIONS)
def test_an_unknown_key_of_an_option_is_refused(options, name):
    with pytest.raises(InputError, match=r"unknown key mask\.wide"):
        check_options(OmegaConf.create({**options[name], "wide": 4}), "mask", MASKS, "name")


@pytest.mark.parametrize("image_size", [(256, 256), (96, 128), (131, 97)])
def test_a_mask_is_one_in_its_hole_and_zero_elsewhere(generator, image_size):
    masks = generator(image_size, torch.arange(20))

    assert masks.shape == (20, 1, *image_size)
    assert masks.dtype == torch.float32
    assert masks.device.type == "cpu"
    assert set(masks.unique().tolist()) == {0, 1}
    assert masks.flatten(1).any(dim=1).all()


def test_a_mask_is_a_function_of_size_and_seed_alone(generator):
    seeds = mix_seeds(7, torch.arange(12))
    masks = generator((96, 128), seeds)
    torch.manual_seed(1)

    assert torch.equal(generator((96, 128), seeds), masks)
    assert torch.equal(generator((96, 128), seeds.flip(0)), masks.flip(0))
    assert torch.equal(torch.cat([generator((96, 128), part) for part in seeds.split(5)]), masks)
    assert torch.equal(generator((96, 128), seeds[3:4]), masks[3:4])
    assert seeds.tolist() == mix_seeds(7, torch.arange(12)).tolist()


def test_masks_of_inference_can_be_trained_on(generator):
    strokes._directions.cache_clear()
    with torch.inference_mode():
        inferred = generator((96, 128), torch.arange(3))
    masks = generator((96, 128), torch.arange(3))
    weight = torch.ones((), requires_grad=True)
    (weight * masks).mean().backward()

    assert torch.equal(masks, inferred)
    assert weight.grad.item() == pytest.approx(masks.mean().item())


def test_a_batch_of_none_has_no_masks(generator):
    assert generator((96, 128), torch.empty(0, dtype=torch.int64)).shape == (0, 1, 96, 128)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "center"])
def test_other_seeds_get_other_holes(options, name):
    masks = build_mask(OmegaConf.to_container(options[name]))((96, 128), torch.arange(50))

    assert len(masks.flatten(1).unique(dim=0)) >= (3 if name == "folder" else 40)


@pytest.mark.parametrize("name", [name for name, text in FILES.items() if "area: [" in text])
@pytest.mark.parametrize("image_size", [(96, 96), (64, 112)])
def test_the_area_of_an_option_lies_within_its_bounds(options, name, image_size):
    bounds = options[name].area
    share = build_mask(OmegaConf.to_container(options[name]))(image_size, torch.arange(400)).mean(dim=(1, 2, 3))

    assert share.min() >= bounds[0]
    assert share.max() <= bounds[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares with a GPU")
def test_a_gpu_cuts_the_same_holes(generator):
    seeds = torch.arange(200)
    masks = generator((128, 160), seeds.cuda())

    assert masks.device.type == "cuda"
    assert torch.equal(masks.cpu(), generator((128, 160), seeds))


def test_the_data_module_takes_every_option(options, generator, picture_folder, request):
    name = request.node.callspec.params["generator"]
    plain = OmegaConf.to_container(options[name])
    datamodule = InpaintingDataModule("folder", plain, size=128, num_workers=0, root=picture_folder)
    pictures = torch.zeros(3, 1, 128, 128, dtype=torch.uint8)
    trained, again, later = (datamodule.make_batch(pictures, torch.arange(3), epoch=epoch) for epoch in (0, 0, 1))

    assert trained.mask.shape == (3, 1, 128, 128)
    assert torch.equal(trained.mask, again.mask)
    assert torch.equal(trained.mask, later.mask) == (name == "center")
    assert datamodule.hparams.mask == plain  # what a checkpoint holds


def test_cut_hole_scales_every_option_to_the_picture(generator):
    completer = object.__new__(TorchCompleter)  # without a checkpoint: only the size and the generator count here
    completer.size, completer.mask_generator = 96, generator
    mask = completer.cut_hole(Image.new("L", (128, 192)), seed=3)

    assert mask.size == (128, 192)
    assert mask.getextrema() == (0, 255)
    assert mask.tobytes() == completer.cut_hole(Image.new("RGB", (128, 192)), seed=3).tobytes()


def test_build_mask_takes_plain_options_and_leaves_them_alone():
    options = {"name": "center", "size": [2, 4], "center": [0.5, 0.25]}

    mask = build_mask(options)

    assert isinstance(mask, CenterMask)
    assert mask.box((8, 8)) == (3, 0, 5, 4)
    assert options == {"name": "center", "size": [2, 4], "center": [0.5, 0.25]}


@pytest.mark.parametrize("options", [{"name": "centre"}, {"name": None}, {"size": 4}])
def test_an_unknown_mask_lists_the_choices(options):
    with pytest.raises(ValueError, match="unknown mask") as error:
        build_mask(options)

    assert all(name in str(error.value) for name in MASKS)


def test_an_unknown_option_is_named_with_its_mask():
    with pytest.raises(ValueError, match=r"mask 'center': .*'sizes'"):
        build_mask({"name": "center", "sizes": 4})


def test_a_mixture_draws_each_kind_by_its_weight():
    mixed = MixedMask([{**HOLES[0], "weight": 3}, HOLES[1]])
    holes = mixed((16, 16), torch.arange(2000)).sum(dim=(1, 2, 3))

    assert holes.unique().tolist() == [1, 64]
    assert (holes == 1).float().mean().item() == pytest.approx(0.75, abs=0.03)


def test_a_kind_draws_no_less_freely_in_a_mixture():
    hit = MixedMask(HOLES)((16, 16), torch.arange(4000))

    assert hit[hit.sum(dim=(1, 2, 3)) == 1].amax(dim=0).all()


def test_an_area_in_a_mixture_keeps_the_weights():
    kinds = [{"name": "box", "count": 1, "size": [1, 8]}, {"name": "outpaint", "sides": ["top"], "fraction": 0.5}]
    share = MixedMask(kinds, area=[0.1, 0.5])((16, 16), torch.arange(1000)).mean(dim=(1, 2, 3))

    assert share.min() >= 0.1
    assert (share == 0.5).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_a_mixture_may_hold_mixtures():
    assert MixedMask([{"name": "mixed", "masks": HOLES}])((16, 16), torch.arange(4)).any()


@pytest.mark.parametrize(
    ("masks", "what"),
    [
        ([], "masks is empty; give"),
        (["box"], r"masks\[0\] box is no list of options; give it such as \{name: box\}"),
        ([{"name": "grid", "offset": True}], r"masks\[0\]: offset True is no place; give"),
        ([{"name": "boxes"}], r"masks\[0\]: unknown mask 'boxes'; choose from box, brush"),
        ([HOLES[0], {"name": "box", "sizes": 3}], r"masks\[1\]: mask 'box': .*'sizes'"),
        ([HOLES[0], {"name": "box", "size": 0}], r"masks\[1\]: size 0 is no range"),
        ([{**HOLES[0], "weight": 0}], r"masks\[0\]\.weight 0 is no weight"),
        ([{**HOLES[0], "weight": "2"}], r"masks\[0\]\.weight 2 is no weight"),
    ],
)
def test_a_mixture_says_which_kind_is_wrong(masks, what):
    with pytest.raises(ValueError, match=what):
        MixedMask(masks)


def test_a_mixture_tells_what_does_not_fit_before_it_is_drawn():
    rare = {"name": "box", "size": 99, "weight": 1e-9}
    with pytest.raises(ValueError, match=r"masks\[1\]: a box 99 pixels high does not fit"):
        MixedMask([HOLES[0], rare])((16, 16), torch.arange(1))


def test_the_page_tells_how_to_add_a_mask(monkeypatch, tmp_path):
    code, option = (
        re.search(rf"```{kind}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1] for kind in ("python", "yaml")
    )
    monkeypatch.setattr("imcomp.data.masks.MASKS", dict(MASKS))
    names = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    shutil.copytree(config_dir(), tmp_path / "conf")
    (tmp_path / "conf" / "mask" / "stripes.yaml").write_text(option, "utf-8")
    with initialize_config_dir(str(tmp_path / "conf")):
        config = compose("train", ["mask=stripes", "mask.width=2"]).mask
    check_options(config, "mask", names["MASKS"], "name")

    masks = build_mask(OmegaConf.to_container(config))((8, 8), torch.arange(50))

    assert masks.shape == (50, 1, 8, 8)
    assert masks.sum(dim=(1, 2, 3)).eq(32).all()
    assert len(masks.flatten(1).unique(dim=0)) == 4


@pytest.mark.parametrize("name", OPTIONS)
def test_the_page_tells_of_every_option_and_key(options, name):
    text = PAGE.read_text("utf-8")

    assert f"`{name}`" in text
    assert all(f"`{key}`" in text or f"`mask.{key}" in text for key in options[name] if key != "name")


@pytest.mark.parametrize(
    "options",
    [
        {"name": "box", "size": [4, 8], "count": [1, 4], "area": [0.235, 0.25]},
        {"name": "mixed", "masks": [{"name": "center", "size": 8}, {"name": "brush", "area": [0.0, 0.001]}]},
    ],
    ids=["box", "one kind of a mixture"],
)
def test_bounds_of_the_area_that_holes_do_not_keep_to_are_told(options, caplog):
    mask = build_mask(options)
    with caplog.at_level(logging.WARNING):
        try_holes(mask, (32, 32))
    assert re.search(r"^\d+ of 16 holes that were tried are outside mask.area=\[", caplog.messages[0])
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("size", [128, 256])
def test_options_keep_to_their_bounds_without_a_word(options, size, caplog):
    for name in options:
        with caplog.at_level(logging.WARNING):
            try_holes(build_mask(OmegaConf.to_container(options[name], resolve=True)), (size, size))
        assert not caplog.messages, name

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from imcomp.box import Box
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.folders import FolderSource
from imcomp.data.masks import MASKS
from imcomp.errors import InputError

CENTER = {"name": "center", "size": [2, 4]}


class Dot:
    """A hole of one pixel, anywhere."""

    def __call__(self, image_size, seeds):
        height, width = image_size
        mask = torch.zeros(len(seeds), height * width, device=seeds.device)
        mask[torch.arange(len(seeds)), seeds % (height * width)] = 1
        return mask.view(-1, 1, height, width)


@pytest.fixture
def dot(monkeypatch):
    monkeypatch.setitem(MASKS, "dot", Dot)
    return {"name": "dot"}


def make(root, mask=CENTER, **options):
    options = {"size": 8, "val_fraction": 0.2, "batch_size": 3, "num_workers": 0, **options}
    datamodule = InpaintingDataModule("folder", mask, root=root, **options)
    datamodule.setup()
    return datamodule


def batches(datamodule, part):
    loader = getattr(datamodule, f"{part}_dataloader")()
    return [datamodule.on_after_batch_transfer(batch, 0) for batch in loader]


def indices(datamodule, part):
    return [index for batch in batches(datamodule, part) for index in batch.indices.tolist()]


def holes(datamodule, part="val"):
    """Where the hole of each picture is."""
    return {
        index: mask.flatten().nonzero().flatten().tolist()
        for batch in batches(datamodule, part)
        for index, mask in zip(batch.indices.tolist(), batch.mask, strict=True)
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 11])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_batches_have_pictures_in_zero_to_one_and_holes_of_one(picture_folder, channels, size, fit):
    datamodule = make(picture_folder, channels=channels, size=size, fit=fit)

    batch = batches(datamodule, "train")[0]

    assert batch.image.shape == (3, channels, size, size)
    assert batch.image.dtype == torch.float32
    shades = 10 * batch.indices / 255  # picture i is all 10 * i grey
    assert torch.allclose(batch.image, shades.view(3, 1, 1, 1).expand_as(batch.image))
    assert batch.mask.shape == (3, 1, size, size)
    assert batch.mask.dtype == torch.float32
    assert batch.mask.unique().tolist() == [0, 1]
    assert batch.mask.sum(dim=(1, 2, 3)).tolist() == [8, 8, 8]
    top, left = (size - 2) // 2, (size - 4) // 2
    assert batch.mask[:, :, top : top + 2, left : left + 4].all()


def test_white_is_one_and_black_is_zero(picture_folder):
    datamodule = make(picture_folder)

    batch = datamodule.make_batch(
        torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(-1, -1, 8, 8), torch.arange(2)
    )

    assert batch.image[0].unique().tolist() == [0]
    assert batch.image[1].unique().tolist() == [1]


@pytest.mark.parametrize("split", ["random", "track"])
def test_parts_never_overlap_and_hold_every_picture(picture_folder, split):
    datamodule = make(picture_folder, split=split, val_fraction=0.25, test_fraction=0.25, group_regex=r"^track\d")

    train, val, test = (indices(datamodule, part) for part in ("train", "val", "test"))

    assert (len(train), len(val), len(test)) == (10, 5, 5)
    assert sorted(train + val + test) == list(range(20))
    tracks = [{index // 5 for index in part} for part in (train, val, test)]
    assert (sum(map(len, tracks)) == 4) == (split == "track")


def test_training_is_shuffled_anew_each_epoch_and_validation_is_not(picture_folder):
    datamodule = make(picture_folder)
    loader = datamodule.train_dataloader()
    orders = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        orders.append([number for _, index in loader for number in index.tolist()])

    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert len({tuple(order) for order in orders}) == 3
    assert indices(datamodule, "val") == indices(datamodule, "val") == datamodule.split.val


def test_the_seed_decides_split_order_and_holes(picture_folder, dot):
    one, same, other = (make(picture_folder, dot, seed=seed) for seed in (1, 1, 2))

    assert one.split == same.split != other.split
    assert indices(one, "train") == indices(same, "train")
    pictures, index = torch.zeros(20, 1, 8, 8, dtype=torch.uint8), torch.arange(20)
    assert torch.equal(one.make_batch(pictures, index).mask, same.make_batch(pictures, index).mask)
    assert not torch.equal(one.make_batch(pictures, index).mask, other.make_batch(pictures, index).mask)


@pytest.mark.parametrize("part", ["val", "test"])
def test_evaluation_holes_depend_on_the_picture_alone(picture_folder, dot, part):
    options = {"val_fraction": 0.4, "test_fraction": 0.4}
    expected = holes(make(picture_folder, dot, batch_size=3, **options), part)

    assert len(expected) == 8
    assert len({tuple(hole) for hole in expected.values()}) > 1
    for batch_size in (1, 8):
        assert holes(make(picture_folder, dot, batch_size=batch_size, **options), part) == expected


def test_training_holes_are_new_each_epoch_and_never_those_of_evaluation(picture_folder, monkeypatch):
    datamodule = make(picture_folder)
    seen, hole = {}, torch.zeros(20, 1, 8, 8)
    for epoch in (None, 0, 1, 2):
        monkeypatch.setattr(datamodule, "mask", lambda _, seeds, epoch=epoch: seen.update({epoch: seeds}) or hole)
        datamodule.make_batch(torch.zeros(20, 1, 8, 8, dtype=torch.uint8), torch.arange(20), epoch=epoch)

    assert len(torch.cat(list(seen.values())).unique()) == 4 * 20


@pytest.mark.parametrize(("training", "epoch"), [(True, 3), (False, None)])
def test_the_epoch_counts_in_training_alone(picture_folder, training, epoch, dot):
    datamodule = make(picture_folder, dot)
    datamodule.trainer = SimpleNamespace(training=training, current_epoch=3)
    pictures, index = next(iter(datamodule.train_dataloader()))

    batch = datamodule.on_after_batch_transfer((pictures, index), 0)

    assert torch.equal(batch.mask, datamodule.make_batch(pictures, index, epoch=epoch).mask)
    assert torch.equal(batch.indices, index)


def test_workers_hand_over_the_same_batches(picture_folder):
    alone, helped = make(picture_folder), make(picture_folder, num_workers=1)

    for one, other in zip(batches(alone, "train"), batches(helped, "train"), strict=True):
        assert all(torch.equal(*pair) for pair in zip(one[:3], other[:3], strict=True))


def test_setup_opens_the_source_once(picture_folder):
    datamodule = make(picture_folder)
    source, split = datamodule.source, datamodule.split

    datamodule.setup("fit")

    assert datamodule.source is source
    assert datamodule.split is split


def test_hyper_parameters_are_plain_and_rebuild_the_data_module(picture_folder):
    datamodule = make(str(picture_folder), channels=3, seed=7)

    stored = json.loads(json.dumps(dict(datamodule.hparams)))

    assert stored["mask"] == {"name": "center", "size": [2, 4]}
    assert stored["root"] == str(picture_folder)
    again = InpaintingDataModule(**stored)
    again.setup()
    assert again.split == datamodule.split
    assert torch.equal(batches(again, "val")[0].image, batches(datamodule, "val")[0].image)


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ({"channels": 2}, r"data\.channels=2 .*choose from 1, 3"),
        ({"fit": "pad"}, r"data\.fit=pad .*choose from stretch, crop"),
        ({"split": "tracks"}, r"data\.split=tracks .*choose from random, track"),
        ({"size": 0}, r"data\.size=0 .*at least 1"),
        ({"batch_size": 0}, r"data\.batch_size=0 .*at least 1"),
        ({"cache": "tape"}, r"data\.cache=tape .*choose from off, ram, disk"),
        ({"cache_as": "jpeg"}, r"data\.cache_as=jpeg .*choose from auto, resized, native"),
        ({"cache_gb": 0}, r"data\.cache_gb=0 .*more than 0, or data\.cache=off"),
        ({"cache_gb": float("nan")}, r"data\.cache_gb=nan .*more than 0"),
        ({"cache": "disk"}, r"data\.cache=disk needs a folder; give data\.cache_dir=PATH"),
        ({"num_workers": -1}, r"data\.num_workers=-1 .*auto, 0 or more"),
        ({"num_workers": "many"}, r"data\.num_workers=many .*auto, 0 or more"),
    ],
)
def test_a_wrong_option_names_its_key_and_the_choices(picture_folder, option, what):
    with pytest.raises(InputError, match=what):
        InpaintingDataModule("folder", CENTER, root=picture_folder, **option)


def test_automatic_workers_leave_one_core(monkeypatch, picture_folder):
    for cores, workers in ((1, 1), (2, 1), (5, 4), (64, 8)):
        monkeypatch.setattr("imcomp.data.datamodule.count_cores", lambda cores=cores: cores)
        datamodule = InpaintingDataModule("folder", CENTER, root=picture_folder, num_workers="auto")
        assert datamodule.num_workers == workers


def test_a_hole_that_does_not_fit_fails_before_any_picture_is_read():
    with pytest.raises(ValueError, match=r"mask\.size.*data\.size"):
        InpaintingDataModule("folder", {"name": "center", "size": 9}, size=8, root="missing")


def test_an_unknown_mask_fails_before_any_picture_is_read():
    with pytest.raises(ValueError, match="unknown mask 'hexagon'; choose from"):
        InpaintingDataModule("folder", {"name": "hexagon"}, root="missing")


def test_fractions_that_leave_nothing_are_an_input_error(picture_folder):
    with pytest.raises(InputError, match=r"val_fraction 0\.5 and test_fraction 0\.5 leave nothing"):
        make(picture_folder, val_fraction=0.5, test_fraction=0.5)


def test_too_few_pictures_are_an_input_error(picture_folder):
    with pytest.raises(InputError, match="20 pictures are too few"):
        make(picture_folder, val_fraction=0.01)


@pytest.mark.parametrize("part", ["val", "test"])
def test_an_empty_part_says_which_fraction_to_raise(picture_folder, part):
    datamodule = make(picture_folder, val_fraction=0.0)

    with pytest.raises(InputError, match=rf"no {part} pictures: data\.{part}_fraction is 0"):
        getattr(datamodule, f"{part}_dataloader")()


def same(one, other):
    return all(torch.equal(*pair) for pair in zip(one[:3], other[:3], strict=True))


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("cache", [("disk", "resized"), ("disk", "native"), ("ram", "resized"), ("ram", "native")])
def test_the_cache_changes_no_bit_of_a_batch(tmp_path, dot, part, workers, fit, cache):
    for index in range(12):
        Image.effect_noise((9 + index, 20 - index), 80).convert("RGB").save(tmp_path / f"{index}.png")
    options = {"val_fraction": 0.25, "test_fraction": 0.25, "fit": fit, "channels": 3, "num_workers": workers}
    plain = make(tmp_path, dot, **options)
    kept = InpaintingDataModule(
        *("folder", dot),
        **{"root": tmp_path, "size": 8, "batch_size": 3, "cache": cache[0], "cache_as": cache[1], **options},
        cache_dir=tmp_path / ".cache",
    )
    kept.setup("fit")

    assert kept.decoded is not None
    pairs = [*zip(batches(plain, part), batches(kept, part), strict=True)]
    assert len(pairs) == {"train": 2, "val": 1, "test": 1}[part]
    assert all(same(*pair) for pair in pairs)


def test_training_decodes_for_the_stages_after_it(picture_folder, tmp_path, monkeypatch):
    options = {"root": picture_folder, "size": 8, "num_workers": 0, "cache": "disk", "cache_dir": tmp_path / "cache"}
    stages = [InpaintingDataModule("folder", CENTER, **options) for _ in range(3)]

    stages[0].setup("test")
    assert stages[0].decoded is None
    stages[1].setup("fit")
    stages[2].setup("test")

    monkeypatch.setattr(FolderSource, "read", lambda *_: pytest.fail("decoded again"))
    for datamodule in stages[1:]:
        assert len(datamodule.decoded) == 20
        assert sorted(indices(datamodule, "val")) == sorted(datamodule.split.val)


def test_all_splits_share_what_is_decoded(picture_folder, tmp_path):
    for seed in (0, 1):
        options = {"root": picture_folder, "size": 8, "cache": "disk", "cache_dir": tmp_path / "cache", "seed": seed}
        InpaintingDataModule("folder", CENTER, **options).setup("fit")

    assert len([*(tmp_path / "cache").glob("*.pictures")]) == 1


def test_what_cannot_be_kept_is_said_once(picture_folder, tmp_path, caplog):
    options = {"root": picture_folder, "size": 8, "num_workers": 0, "cache": "disk", "cache_dir": tmp_path / "cache"}
    datamodule = InpaintingDataModule("folder", CENTER, **options, cache_gb=1e-7)

    datamodule.setup("fit")
    datamodule.setup("fit")

    assert len([record for record in caplog.records if "data.cache_gb" in record.message]) == 1
    assert len(indices(datamodule, "train")) == 14


@pytest.mark.parametrize(("device", "workers"), [("cpu", 0), ("cuda", 2)])
@pytest.mark.parametrize("kept", [True, False])
def test_automatic_workers_know_the_cache_and_the_device(picture_folder, tmp_path, monkeypatch, device, workers, kept):
    monkeypatch.setattr("imcomp.data.datamodule.count_cores", lambda: 6)
    monkeypatch.setattr("imcomp.data.datamodule._best_device", lambda: device)
    options = {"root": picture_folder, "size": 8, "cache": "disk" if kept else "off", "cache_dir": tmp_path / "cache"}

    for cache_as in ("resized", "native"):
        datamodule = InpaintingDataModule("folder", CENTER, **options, cache_as=cache_as)
        datamodule.setup("fit")
        assert datamodule.num_workers == (workers if kept and cache_as == "resized" else 5)
        datamodule.trainer = SimpleNamespace(
            strategy=SimpleNamespace(root_device=torch.device(device)), num_devices=1, training=False
        )
        assert datamodule.num_workers == (workers if kept and cache_as == "resized" else 5)
        datamodule.trainer.num_devices = 2  # processes that share the cores
        assert datamodule.num_workers == (workers if kept and cache_as == "resized" else 2)


@pytest.fixture
def noisy_folder(tmp_path):
    """Twelve pictures of 40 x 30 pixels and more."""
    for index in range(12):
        Image.effect_noise((40 + index, 30), 80).convert("RGB").save(tmp_path / f"{index:02d}.png")
    return tmp_path


AUGMENT = {"scale": [0.8, 1.2], "degrees": 20, "horizontal_flip": 0.5, "brightness": [0.5, 1.5]}


def test_training_is_augmented_before_the_hole_is_cut(noisy_folder):
    plain, augmented = (make(noisy_folder, channels=3, augment=options) for options in (None, AUGMENT))
    pictures, index = next(iter(plain.train_dataloader()))

    before, after = (datamodule.make_batch(pictures, index, epoch=0) for datamodule in (plain, augmented))

    assert not torch.allclose(before.image, after.image, atol=0.05)
    assert torch.equal(before.mask, after.mask)
    assert torch.equal(before.indices, after.indices)


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("cache", ["off", "disk"])
def test_no_part_is_augmented_outside_of_training(noisy_folder, dot, part, cache):
    everything = {**AUGMENT, "crop": [0.3, 0.9], "noise": 0.1, "blur": 1, "jpeg": 20, "chance": 1}
    options = {"val_fraction": 0.25, "test_fraction": 0.25, "fit": "crop"}
    kept = {"cache": cache, "cache_dir": noisy_folder / ".cache"}
    plain = make(noisy_folder, dot, **options)
    augmented = make(noisy_folder, dot, augment=everything, **options, **kept)
    augmented.setup("fit")
    augmented.trainer = SimpleNamespace(training=False, current_epoch=3)

    pairs = []
    for one, other in zip(plain.dataset(part), augmented.dataset(part), strict=True):
        pairs.append(
            [
                d.on_after_batch_transfer((o[0][None], torch.tensor([o[1]])), 0)
                for d, o in ((plain, one), (augmented, other))
            ]
        )
    assert len(pairs) == {"train": 6, "val": 3, "test": 3}[part]
    assert all(same(*pair) for pair in pairs)


def test_only_pictures_of_that_name_are_flipped(noisy_folder):
    """Whatever their order, and their files' masks with them."""
    mask = {"name": "folder", "root": str(noisy_folder), "mode": "paired"}
    options = {"horizontal_flip": 1, "flip_regex": r"0[0-4]\.png"}
    plain, some = (make(noisy_folder, mask, augment=given, batch_size=12, val_fraction=0) for given in (None, options))
    pictures, index = next(iter(plain.train_dataloader()))

    before, after = (datamodule.make_batch(pictures, index, epoch=0) for datamodule in (plain, some))

    assert sorted(index.tolist()) != index.tolist()
    for number, was, now, hole, moved in zip(
        index.tolist(), before.image, after.image, before.mask, after.mask, strict=True
    ):
        assert torch.equal(now, was.flip(-1) if number < 5 else was)
        assert torch.equal(moved, hole.flip(-1) if number < 5 else hole)


def test_a_name_that_no_picture_has_is_told(noisy_folder, caplog):
    make(noisy_folder, augment={"horizontal_flip": 1, "flip_regex": "sign"})
    assert "augment.flip_regex 'sign' is in none of 12 names, such as '00.png': no picture is flipped" in caplog.text


def test_augmentation_is_new_each_epoch_and_a_function_of_seed_epoch_and_picture(noisy_folder):
    datamodule = make(noisy_folder, augment=AUGMENT, batch_size=12, val_fraction=0)
    pictures, index = next(iter(datamodule.train_dataloader()))

    def images(epoch, chosen=slice(None), seed=0):
        other = make(noisy_folder, augment=AUGMENT, seed=seed)
        return other.make_batch(pictures[chosen], index[chosen], epoch=epoch).image

    assert torch.equal(images(1), images(1))
    assert torch.allclose(images(1)[3:4], images(1, slice(3, 4)), atol=1e-6)
    for other in (images(2), images(1, seed=1)):
        assert not torch.allclose(images(1), other, atol=0.05)


@pytest.mark.parametrize("augment", [None, AUGMENT, {**AUGMENT, "blur": 1}])
def test_a_training_batch_holds_the_window_alone_and_evaluation_everything(noisy_folder, augment):
    whole, part = (make(noisy_folder, CENTER, size=16, augment=augment, batch_size=4) for _ in range(2))
    part.window = Box(4, 3, 13, 14)
    pictures, index = next(iter(whole.train_dataloader()))

    one, other = (datamodule.make_batch(pictures, index, epoch=0) for datamodule in (whole, part))

    assert torch.allclose(other.image, part.window.crop(one.image), atol=1e-5)
    assert torch.equal(other.mask, part.window.crop(one.mask))
    assert other.box == Box(3, 3, 5, 7)
    assert other.box.crop(other.mask).sum() == other.mask.sum() == 4 * 8
    assert same(whole.make_batch(pictures, index), part.make_batch(pictures, index))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("cache", ["off", "disk", "ram"])
def test_training_takes_random_squares_and_other_ones_each_epoch(noisy_folder, workers, cache):
    options = {"augment": {"crop": [0.5, 0.9]}, "num_workers": workers, "fit": "crop", "val_fraction": 0.25}
    loaders = []
    for _ in range(2):
        datamodule = make(noisy_folder, **options, cache=cache, cache_dir=noisy_folder / ".cache")
        assert datamodule.cache_as == "native"
        datamodule.setup("fit")
        loaders.append(datamodule.train_dataloader())
    uncut = {index: picture for picture, index in datamodule.dataset("train")}

    def epoch(loader, number):
        loader.sampler.set_epoch(number)
        return {int(i): picture for batch in loader for picture, i in zip(*batch, strict=True)}

    first, again, second = epoch(loaders[0], 0), epoch(loaders[1], 0), epoch(loaders[0], 1)
    assert all(torch.equal(first[index], again[index]) for index in first)
    for index, picture in first.items():
        assert picture.shape == (1, 8, 8)
        assert not torch.equal(picture, second[index])
        assert not torch.equal(picture, uncut[index])


def test_squares_cannot_be_cut_from_pictures_that_are_kept_resized(noisy_folder):
    with pytest.raises(InputError, match=r"augment\.crop .*give data\.cache_as=native"):
        make(noisy_folder, augment={"crop": 0.5}, cache_as="resized")


def test_squares_are_not_cut_where_masks_are_paired_with_whole_pictures(noisy_folder):
    mask = {"name": "folder", "root": str(noisy_folder), "mode": "paired"}
    with pytest.raises(InputError, match=r"augment\.crop cuts pictures and not their masks.*augment\.crop=null"):
        InpaintingDataModule("folder", mask, root=noisy_folder, size=8, augment={"crop": 0.5})


@pytest.mark.parametrize(("mode", "moves"), [("random", True), ("fixed", False)])
def test_holes_from_files_move_with_their_pictures(noisy_folder, tmp_path_factory, mode, moves):
    file = tmp_path_factory.mktemp("masks") / "mask.png"
    hole = Image.new("L", (8, 8))
    hole.paste(255, (1, 1, 4, 3))
    hole.save(file)
    mask = {"name": "folder", "root": str(file), "mode": mode}
    datamodule = make(noisy_folder, mask, augment={"horizontal_flip": 1, "vertical_flip": 1})
    pictures, index = next(iter(datamodule.train_dataloader()))

    batch, plain = (datamodule.make_batch(pictures, index, epoch=epoch) for epoch in (0, None))

    assert torch.equal(batch.image, plain.image.flip(-1, -2))
    assert torch.equal(batch.mask, plain.mask.flip(-1, -2) if moves else plain.mask)


@pytest.fixture
def three_folders(tmp_path):
    """Folders ``a``, ``b`` and ``c`` of 8, 4 and 3 pictures."""
    for name, count in (("a", 8), ("b", 4), ("c", 3)):
        (tmp_path / name).mkdir()
        for index in range(count):
            Image.new("L", (8, 8), 10 * index).save(tmp_path / name / f"{index}.png")
    return tmp_path


def mixed(root, *sources, **options):
    listed = [{"source": "folder", **source} for source in sources]
    options = {"size": 8, "val_fraction": 0.5, "num_workers": 0, "batch_size": 4, **options}
    datamodule = InpaintingDataModule("mixed", CENTER, root=root, sources=listed, **options)
    datamodule.setup()
    return datamodule


def test_sources_train_and_validate_as_they_are_used_for(three_folders):
    datamodule = mixed(three_folders, {"root": "a"}, {"root": "b", "use": "train"}, {"root": "c", "use": "val"})

    names = [{datamodule.source.name(index)[0] for index in part} for part in datamodule.split]
    assert [len(part) for part in datamodule.split] == [4 + 4, 4 + 3, 0]
    assert names == [{"0", "1"}, {"0", "2"}, set()]
    assert sorted(index for part in datamodule.split for index in part) == list(range(15))


def test_a_source_of_lower_weight_comes_in_a_share_of_the_epochs(three_folders):
    datamodule = mixed(
        three_folders,
        {"root": "a", "use": "train", "weight": 1},
        {"root": "b", "use": "train", "weight": 4},
        {"root": "c", "use": "val", "weight": 0.1},
    )
    loader = datamodule.train_dataloader()
    assert len(loader.sampler) == 2 + 4
    epochs = []
    for epoch in range(20):
        loader.sampler.set_epoch(epoch)
        epochs.append([int(index) for _, indices in loader for index in indices])
    assert all(sorted(index for index in epoch if index >= 8) == [8, 9, 10, 11] for epoch in epochs)
    assert all(len({index for index in epoch if index < 8}) == 2 for epoch in epochs)
    assert {index for epoch in epochs for index in epoch} == set(range(12))
    assert sorted(indices(datamodule, "val")) == [12, 13, 14]


def test_the_weight_of_what_is_not_trained_on_changes_no_epoch(three_folders):
    trained = {"root": "a", "use": "train", "weight": 0.5}, {"root": "b", "use": "train", "weight": 0.25}
    datamodule = mixed(three_folders, *trained, {"root": "c", "use": "val"})
    assert len(datamodule.train_dataloader().sampler) == 8 + 2


@pytest.mark.parametrize(
    ("sources", "what"),
    [
        ([{"root": "a", "use": "train"}, {"root": "a", "use": "val"}], r"sources\[0\] and .*\[1\] both hold .*/a, and"),
        ([{"root": "a"}, {"root": "b"}, {"root": "a"}], r"sources\[0\] and .*\[2\] both hold"),
        ([{"root": ".", "use": "train"}, {"root": "b", "use": "test"}], r"both hold the pictures of .*/b, and"),
        ([{"source": "stream", "root": "a"}], r"sources\[0\].source=stream has a split of its own; choose from folder"),
        (
            [{"source": "mixed", "sources": []}],
            r"source=mixed has a split of its own; choose from folder, gtsrb, synth",
        ),
    ],
)
def test_pictures_that_would_train_and_validate_are_refused(three_folders, sources, what):
    with pytest.raises(InputError, match=what):
        mixed(three_folders, *sources)


def test_a_folder_may_train_twice(three_folders):
    twice = mixed(
        three_folders, {"root": "a", "use": "train"}, {"root": "a", "use": "train"}, {"root": "b", "use": "val"}
    )
    assert [len(part) for part in twice.split] == [16, 4, 0]


def test_no_pictures_of_a_part_are_told_as_it_is(three_folders):
    datamodule = mixed(three_folders, {"root": "a", "use": "train"})
    with pytest.raises(InputError, match=r"no val pictures: no source has any to split; give one of use: val or split"):
        datamodule.val_dataloader()


def test_what_is_no_source_is_told(three_folders):
    with pytest.raises(InputError, match=r"data\.sources\[0\]=a is no source; give options such as {source: folder"):
        InpaintingDataModule("mixed", CENTER, root=three_folders, sources=["a"], size=8).setup()


def test_gtsrb_in_a_mixture_is_where_all_data_are(miniature_gtsrb):
    datamodule = mixed(miniature_gtsrb, {"source": "gtsrb"})

    assert datamodule.source.name(1) == "0/00000/00000_00001.ppm"


def test_sources_without_one_to_train_on_are_refused(three_folders):
    with pytest.raises(InputError, match=r"no picture is to be trained on; give .*use: train or split"):
        mixed(three_folders, {"root": "a", "use": "val"})


def test_a_checkpoint_says_nothing_of_the_cache(picture_folder, tmp_path):
    datamodule = InpaintingDataModule("folder", CENTER, root=str(picture_folder), cache="disk", cache_dir=tmp_path)

    assert not [name for name in datamodule.hparams if name.startswith("cache")]


class TestPairedMasks:
    @pytest.fixture
    def masks(self, tmp_path, picture_folder):
        """For each picture a mask whose hole is as many pixels of the top row as its frame's number and one."""
        for file in picture_folder.rglob("*.png"):
            mask = Image.new("L", (8, 8))
            mask.paste(255, (0, 0, 1 + int(file.stem[-1]), 1))
            beside = tmp_path / "masks" / file.relative_to(picture_folder)
            beside.parent.mkdir(parents=True, exist_ok=True)
            mask.save(beside)
        return {"name": "folder", "root": str(tmp_path / "masks"), "mode": "paired"}

    @pytest.mark.parametrize("fit", ["stretch", "crop"])
    def test_each_lies_on_its_picture(self, tmp_path, fit):
        """A mask that is its picture, twice as wide as high."""
        picture = Image.new("L", (128, 64))
        picture.paste(255, (40, 16, 72, 48))
        for folder in ("pictures", "masks"):
            (tmp_path / folder).mkdir()
            picture.save(tmp_path / folder / "a.png")
        mask = {"name": "folder", "root": str(tmp_path / "masks"), "mode": "paired"}
        datamodule = make(tmp_path / "pictures", mask, size=32, fit=fit, val_fraction=0)

        (batch,) = batches(datamodule, "train")

        assert torch.equal(batch.mask, (batch.image > 0.5).float())

    @pytest.mark.parametrize("epoch", [None, 0, 1])
    def test_every_picture_has_its_own(self, masks, picture_folder, epoch):
        datamodule = InpaintingDataModule("folder", masks, size=8, num_workers=0, root=picture_folder)
        datamodule.setup("fit")
        for pictures, indices in datamodule.train_dataloader():
            batch = datamodule.make_batch(pictures, indices, epoch=epoch)

            assert batch.mask.sum(dim=(1, 2, 3)).tolist() == [1 + index % 5 for index in indices.tolist()]
            assert batch.box is None

    def test_a_picture_without_one_ends_it_before_training(self, masks, picture_folder):
        Path(masks["root"], "track0", "frame3.png").unlink()
        datamodule = InpaintingDataModule("folder", masks, size=8, num_workers=0, root=picture_folder)
        with pytest.raises(InputError, match=r"1 pictures have no mask of their name in .* \(track0/frame3.png\)"):
            datamodule.setup("fit")

    def test_they_are_for_all_pictures_or_none(self, masks):
        with pytest.raises(ValueError, match=r"masks\[0\]: mode=paired is for all pictures or none"):
            InpaintingDataModule("synthetic", {"name": "mixed", "masks": [masks]}, size=8)

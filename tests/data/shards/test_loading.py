import itertools

import pytest
import torch

from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.loading import SPARE, ResumableLoader, ShareSampler, whole_batch
from imcomp.data.shards.loading import ShardDataset, ShardSampler
from imcomp.data.shards.packing import pack
from imcomp.data.shards.reading import ShardSource
from imcomp.errors import InputError

TRAIN = 45


def dataset(root, part="train", window=2, **options):
    return ShardDataset(
        ShardSource(str(root), shuffle_shards=window, **options), part, size=8, channels=1, fit="stretch"
    )


def loader(pictures, num_workers=0):
    return ResumableLoader(
        pictures,
        sampler=ShardSampler(pictures, seed=0),
        batch_size=4,
        num_workers=num_workers,
        collate_fn=whole_batch,
    )


def numbers(batches):
    return [indices.tolist() for _, indices in batches]


def test_a_batch_is_pictures_and_their_numbers_before_packing(packed):
    pictures, indices = dataset(packed).__getitems__([1, 0])

    assert indices.tolist() == [7, 0]
    assert pictures.shape == (2, 1, 8, 8)
    assert [picture.unique().tolist() for picture in pictures] == [[28], [0]]


def test_both_forms_give_the_same_batch(packed, packing, tmp_path):
    pack(packing(form="resized"), tmp_path / "resized", workers=1)

    encoded, resized = (dataset(root).__getitems__([3, 30, 8]) for root in (packed, tmp_path / "resized"))

    assert torch.equal(encoded[0], resized[0])
    assert torch.equal(encoded[1], resized[1])


@pytest.mark.parametrize(("part", "first", "count"), [("train", 0, 45), ("val", 45, 10), ("test", 55, 5)])
def test_a_part_is_its_own_shards(packed, part, first, count):
    pictures = dataset(packed, part)

    assert len(pictures) == count
    assert numbers([pictures.__getitems__(range(count))]) == [[7 * place % 60 for place in range(first, 60)][:count]]


@pytest.mark.parametrize("window", [1, 2, 100])
def test_an_epoch_is_every_picture_once(packed, window):
    sampler = ShardSampler(dataset(packed, window=window), seed=0)

    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert list(sampler) == orders[-1]

    assert len(sampler) == TRAIN
    assert all(sorted(order) == list(range(TRAIN)) for order in orders)
    assert len({*map(tuple, orders)}) == 3


def test_the_seed_decides(packed):
    pictures = dataset(packed)

    assert list(ShardSampler(pictures, seed=0)) != list(ShardSampler(pictures, seed=1))


def test_few_shards_are_read_at_a_time(packed):
    pictures = dataset(packed, window=2)
    places = [pictures.source.places([position]).pop() for position in ShardSampler(pictures, seed=0)]

    when = pictures.order.tolist().index
    blocks = [when(place) // 2 for place in places]
    assert blocks == sorted(blocks)
    assert [*map(when, places)] != sorted(map(when, places))  # and yet the two of a block are mixed


@pytest.mark.parametrize("processes", [2, 3, 7, 60])
def test_processes_share_the_shards_out(packed, monkeypatch, processes):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: processes)
    shares, shards = [], []
    for rank in range(processes):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        pictures = dataset(packed)
        sampler = ShardSampler(pictures, seed=0)
        shares.append(list(sampler))
        assert len(shares[-1]) == len(sampler) == -(-TRAIN // processes)
        shards.append(pictures.source.places([position for position in shares[-1] if position != SPARE]))
        _, indices = pictures.__getitems__(shares[-1])
        assert indices.tolist() == [7 * place % 60 if place != SPARE else SPARE for place in shares[-1]]

    dealt = [*itertools.chain(*shares)]
    assert sorted(position for position in dealt if position != SPARE) == [*range(TRAIN)]
    assert all(share.count(SPARE) <= 1 for share in shares)  # so that all get as many
    assert all(SPARE not in share[:-1] for share in shares)
    if processes < 7:  # each reads its own, and at most one with each neighbour
        assert sum(map(len, shards)) <= len({*itertools.chain(*shards)}) + processes


def test_processes_that_validate_read_a_piece_each():
    shares = [[*ShareSampler(10, rank, 3, connected=True)] for rank in range(3)]

    assert shares == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_a_sampler_starts_late_once(packed):
    sampler = ShardSampler(dataset(packed), seed=0)
    order = list(sampler)

    for start in (1, 9, 10, 44, 45):
        sampler.start = start
        assert list(sampler) == order[start:]
    assert list(sampler) == order


@pytest.mark.parametrize("workers", [(0, 2), (2, 0)])
def test_an_epoch_goes_on_where_it_stopped_with_any_number_of_workers(packed, workers):
    whole = numbers(loader(dataset(packed)))
    stopped = loader(dataset(packed), workers[0])
    first = numbers(itertools.islice(stopped, 5))

    resumed = loader(dataset(packed), workers[1])
    resumed.load_state_dict(stopped.state_dict())
    rest = numbers(resumed)

    assert first + rest == whole
    assert sorted(itertools.chain(*first, *rest)) == sorted(7 * place % 60 for place in range(TRAIN))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shards_come_from_afar_in_time(packed, serve, tmp_path, num_workers):
    server = serve(packed)
    here = numbers(loader(dataset(packed)))
    pictures = dataset(server.root, cache_dir=tmp_path)

    assert numbers(loader(pictures, num_workers)) == here
    asked = {path: count for path, count in server.asked.items() if path.endswith(".bin")}
    assert asked == {f"/{shard.file}": 1 for shard in pictures.source.manifest.parts["train"]}  # and none of val


def test_the_next_shards_are_fetched_meanwhile(packed, serve, tmp_path):
    pictures = dataset(serve(packed).root, window=2, cache_dir=tmp_path)
    asked = []
    pictures.source.store.prefetch = lambda manifest, shards: asked.append([shard.file for shard in shards])
    order = list(ShardSampler(pictures, seed=0))
    shards = [pictures.source.manifest.shards[place].file for place in pictures.order.tolist()]

    for position in order:
        pictures.__getitems__([position])

    assert asked == [shards[start : start + 4] for start in range(0, len(shards), 2)]


def test_a_worker_tells_what_is_wrong_in_one_line(packed, serve, tmp_path):
    server = serve(packed)
    server.failures |= {f"/train/{number:05d}.bin": [404] * 9 for number in range(12)}
    broken = loader(dataset(server.root, cache_dir=tmp_path), num_workers=1)

    with pytest.raises(InputError, match=r"^http://127.0.0.1:\d+/train/\d+.bin is not there; give another data.root"):
        next(iter(broken))


def test_packed_pictures_have_the_resolution_they_were_packed_with(packed):
    options = {"split": "packed", "val_fraction": None, "test_fraction": None, "root": str(packed)}
    datamodule = InpaintingDataModule("stream", {"name": "center", "size": 2}, size=8, resolution=4, **options)

    with pytest.raises(InputError, match=r"^data\.resolution=4: shards hold .*; pack them with it$"):
        datamodule.setup()


def test_packed_pictures_are_not_flipped_by_their_names(packed):
    options = {"split": "packed", "val_fraction": None, "test_fraction": None, "root": str(packed)}
    augment = {"horizontal_flip": 0.5, "flip_regex": "a"}
    datamodule = InpaintingDataModule("stream", {"name": "center", "size": 2}, size=8, augment=augment, **options)

    with pytest.raises(InputError, match=r"^augment\.flip_regex needs .*; give augment\.flip_regex='' to flip any"):
        datamodule.setup()

import itertools
import signal
import subprocess

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch.utils.data import DataLoader

from imcomp.data.loading import (
    SPARE,
    EpochSampler,
    PictureDataset,
    ResumableLoader,
    ShareSampler,
    start_worker,
    whole_batch,
)

COUNT, BATCH_SIZE = 11, 2  # six batches, the last of one picture


class Shades:
    """Picture ``i`` is 3 x 2 pixels of grey ``i``."""

    def __len__(self):
        return 100

    def read(self, index):
        return Image.new("L", (3, 2), index)

    def name(self, index):
        return str(index)

    def group(self, index):
        return str(index)


def dataset(indices=range(COUNT), channels=1):
    return PictureDataset(Shades(), list(indices), size=4, channels=channels, fit="stretch")


def loader(num_workers=0, seed=0, batch_size=BATCH_SIZE):
    return ResumableLoader(
        dataset(),
        sampler=EpochSampler(COUNT, seed),
        batch_size=batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=whole_batch,
    )


def batches(iterable):
    """The picture numbers of each batch."""
    return [index.tolist() for _, index in iterable]


def assert_whole(epoch):
    assert sorted(itertools.chain(*epoch)) == list(range(COUNT))


@pytest.mark.parametrize("channels", [1, 3])
def test_dataset_gives_uint8_and_the_number_in_the_source(channels):
    pictures = dataset([7, 3, 50], channels)

    picture, index = pictures[2]

    assert len(pictures) == 3
    assert index == 50
    assert picture.shape == (channels, 4, 4)
    assert picture.dtype == torch.uint8
    assert picture.unique().tolist() == [50]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_comes_whole(channels):
    pictures, indices = dataset([7, 3, 50], channels).__getitems__([2, 0])

    assert pictures.shape == (2, channels, 4, 4)
    assert pictures.dtype == torch.uint8
    assert [picture.unique().tolist() for picture in pictures] == [[50], [7]]
    assert indices.tolist() == [50, 7]
    assert indices.dtype == torch.int64


def test_workers_flush_denormals():
    torch.set_flush_denormal(False)  # another test may have left it on
    denormal = torch.tensor([1e-40])
    try:
        start_worker(0)
        flushed = (denormal * 1).item()
    finally:
        torch.set_flush_denormal(False)

    assert flushed == 0
    assert (denormal * 1).item() > 0


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="this system does not tell who sent a signal")
@pytest.mark.parametrize("number", ["TERM", "USR1"])
def test_workers_are_ended_by_the_process_that_trains_alone(number):
    options = {"batch_size": 2, "collate_fn": whole_batch, "num_workers": 1, "worker_init_fn": start_worker}
    batches = iter(DataLoader(dataset(), **options))
    next(batches)
    (worker,) = batches._workers
    subprocess.run(["kill", f"-{number}", str(worker.pid)], check=True)  # as a scheduler would

    assert len([*batches]) == 5
    worker.join(10)
    assert worker.exitcode == 0

    batches = iter(DataLoader(dataset(), **options))
    next(batches)
    (worker,) = batches._workers
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_sampler_takes_every_position_once():
    sampler = EpochSampler(100, seed=0)

    order = list(sampler)

    assert len(sampler) == 100
    assert sorted(order) == list(range(100))
    assert order != sorted(order)


def test_sampler_depends_on_seed_and_epoch_alone():
    orders = {}
    for seed, epoch in itertools.product(range(3), range(3)):
        sampler = EpochSampler(100, seed)
        sampler.set_epoch(epoch)
        torch.manual_seed(seed + epoch)  # the global state plays no part
        orders[seed, epoch] = tuple(sampler)
        assert tuple(sampler) == orders[seed, epoch]

    assert len(set(orders.values())) == 9


def test_sampler_takes_some_positions_in_a_share_of_the_epochs():
    sampler = EpochSampler(9, seed=0, rates=[1.0, 0.25, 0.5] * 3)  # 3 positions of each: 3, 1 and 2 of them an epoch
    epochs = []
    for epoch in range(50):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert list(sampler) == epochs[-1]

    assert len(sampler) == 6
    assert all(len(set(order)) == 6 for order in epochs)
    for rest, taken in ((0, 3), (1, 1), (2, 2)):
        assert all(sum(position % 3 == rest for position in order) == taken for order in epochs)
    assert {position for order in epochs for position in order} == set(range(9))


def test_sampler_with_all_positions_in_every_epoch_is_the_plain_one():
    assert list(EpochSampler(20, seed=3, rates=[1.0] * 20)) == list(EpochSampler(20, seed=3))


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_processes_deal_the_order_out_among_themselves(monkeypatch, processes):
    alone = list(EpochSampler(COUNT, seed=0))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        sampler = EpochSampler(COUNT, seed=0)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[rank]) == -(-COUNT // processes)

    dealt = [position for turn in zip(*shares, strict=True) for position in turn]
    assert dealt[:COUNT] == alone
    assert dealt[COUNT:] == [SPARE] * (len(dealt) - COUNT)


@pytest.mark.parametrize("count", [15, 16, 17, 18, 19, 23])
def test_batches_of_all_processes_together_are_those_of_one(count):
    batches = [*torch.tensor(list(EpochSampler(count, seed=0))).split(8)]
    shares = [
        torch.tensor(list(EpochSampler(count, 0, batch_size=8, rank=rank, processes=2))).split(4) for rank in range(2)
    ]

    together = [torch.cat(parts) for parts in zip(*shares, strict=True)]  # both take as many steps
    assert [sorted(batch[batch != SPARE].tolist()) for batch in together] == [sorted(b.tolist()) for b in batches]


@pytest.mark.parametrize("count", [2, 11, 12])
def test_validation_takes_each_once_and_no_other(count):
    shares = [list(ShareSampler(count, rank, 2)) for rank in range(2)]

    assert sorted(shares[0] + shares[1]) == [*range(count)]
    assert len(ShareSampler(count, 1, 2)) == len(shares[1]) == count // 2


def test_a_spare_picture_is_marked():
    pictures, numbers = dataset([3, 7]).__getitems__([1, SPARE])

    assert numbers.tolist() == [7, SPARE]
    assert pictures[:, 0, 0, 0].tolist() == [7, 3]


def test_sampler_starts_late_once():
    sampler = EpochSampler(10, seed=0)
    order = list(sampler)

    sampler.start = 4

    assert list(sampler) == order[4:]
    assert list(sampler) == order


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_resumes_with_the_next_batch(num_workers):
    # epoch 0 whole, epoch 1 left after three batches of six
    first = loader(num_workers)
    list(first)
    first.sampler.set_epoch(1)
    running = iter(first)
    seen = batches(itertools.islice(running, 3))
    state = first.state_dict()
    rest = batches(running)

    second = loader(num_workers)
    second.load_state_dict(state)
    second.sampler.set_epoch(1)
    resumed = batches(second)
    second.sampler.set_epoch(2)
    following = batches(second)

    assert len(seen) == len(rest) == 3
    assert resumed == rest
    assert_whole(seen + resumed)
    assert len(following) == 6
    assert_whole(following)


@pytest.mark.parametrize("served", range(6))
def test_a_loader_resumes_after_any_number_of_batches(served):
    whole = batches(loader())
    first = loader()
    list(itertools.islice(first, served))

    second = loader()
    second.load_state_dict(first.state_dict())

    assert batches(second) == whole[served:]
    assert batches(second) == whole  # once only


@pytest.mark.parametrize("served", range(6))
@pytest.mark.parametrize("size", [1, 3, 4])
def test_batches_of_another_size_go_on_with_the_next_picture(served, size):
    whole = [*itertools.chain(*batches(loader()))]
    first = loader()
    list(itertools.islice(first, served))

    second = loader(batch_size=size)
    second.load_state_dict(first.state_dict())

    rest = batches(second)
    assert [*itertools.chain(*rest)] == whole[served * BATCH_SIZE :]
    assert [len(batch) for batch in rest[:-1]] == [size] * (len(rest) - 1)
    third = loader()  # and back again, from the middle
    second.load_state_dict(first.state_dict())
    list(itertools.islice(second, 1))
    third.load_state_dict(second.state_dict())
    assert [*itertools.chain(*batches(third))] == whole[served * BATCH_SIZE + size :]


def test_a_state_of_an_earlier_version_is_read():
    second = loader()
    second.load_state_dict({"epoch": 0, "served": 4})

    assert batches(second) == batches(loader())[4:]


def test_an_epoch_that_had_ended_is_followed_by_a_whole_one():
    first = loader()
    list(first)

    second = loader()
    second.load_state_dict(first.state_dict())
    second.sampler.set_epoch(1)

    assert_whole(batches(second))


def test_a_state_that_was_loaded_and_not_used_is_kept():
    first = loader()
    first.load_state_dict({"epoch": 3, "served": 4})

    assert first.state_dict() == {"epoch": 3, "served": 4, "batch_size": BATCH_SIZE, "beyond": 0}


def test_every_pass_without_a_state_is_whole():
    twice = loader()

    assert batches(twice) == batches(twice)
    list(itertools.islice(twice, 2))  # given up
    assert len(batches(twice)) == 6


class Recorder(pl.LightningModule):
    """Learns nothing and notes which pictures it gets."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch[1].tolist()))
        return self.layer(torch.zeros(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SaveOnce(pl.Callback):
    """Write a checkpoint at one moment: the ``number``-th call of a hook."""

    def __init__(self, hook, number, path):
        self.moments, self.path, self.seen = itertools.count(), path, None
        self.number = number
        setattr(self, hook, self.save)

    def save(self, trainer, module, *_):
        if next(self.moments) == self.number:
            trainer.save_checkpoint(self.path)
            self.seen = len(module.seen)


def fit(ckpt_path=None, *callbacks, **options):
    module = Recorder()
    trainer = pl.Trainer(
        max_epochs=3,
        callbacks=list(callbacks),
        accelerator="cpu",
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    val = torch.utils.data.DataLoader(dataset([0, 1]), batch_size=2, collate_fn=whole_batch)
    trainer.fit(module, loader(), val, ckpt_path=ckpt_path, weights_only=True)
    return module.seen


@pytest.mark.parametrize("limit", [None, 4], ids=["whole epochs", "cut epochs"])
@pytest.mark.parametrize(
    ("hook", "number"),
    [
        ("on_train_batch_end", 0),
        ("on_train_batch_end", 2),
        ("on_train_batch_end", 3),
        ("on_train_batch_end", 5),
        ("on_train_batch_end", 7),
        ("on_validation_end", 0),
        ("on_validation_end", 1),
        ("on_train_epoch_end", 0),
    ],
)
def test_lightning_goes_on_with_the_pictures_it_would_have_seen(tmp_path, hook, number, limit):
    save = SaveOnce(hook, number, tmp_path / "moment.ckpt")

    seen = fit(None, save, limit_train_batches=limit)
    resumed = fit(tmp_path / "moment.ckpt", limit_train_batches=limit)

    assert len(seen) == 3 * (limit or 6)
    assert resumed == seen[save.seen :]

import math
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import imcomp.callbacks
from imcomp.batch import Batch
from imcomp.callbacks import ForgivingEarlyStopping, NetworkGraph, ProgressBar, SampleGrid, Throughput
from imcomp.errors import InputError
from imcomp.module import InpaintingModule
from imcomp.training import train

# the reference's published validation losses, one an epoch; it stopped after the last, with a patience of 5
PUBLISHED = [
    *(0.0100, 0.0107, 0.0070, 0.0059, 0.0049, 0.0063, 0.0042, 0.0038, 0.0032, 0.0034, 0.0035, 0.0028, 0.0027, 0.0026),
    *(0.0026, 0.0027, 0.0023, 0.0022, 0.0023, 0.0028, 0.0021, 0.0021, 0.0022, 0.0020, 0.0019, 0.0019, 0.0019, 0.0023),
    *(0.0020, 0.0020, 0.0018, 0.0017, 0.0017, 0.0015, 0.0016, 0.0016, 0.0015, 0.0014, 0.0015, 0.0014, 0.0016, 0.0015),
    0.0015,
]


def counts(losses, patience=99):
    rule = ForgivingEarlyStopping("val/mse", patience)
    found = []
    for loss in losses:
        rule.update(loss)
        found.append(rule.count)
    return found


class TestForgivingEarlyStopping:
    def test_it_stops_where_the_reference_did(self):
        rule = ForgivingEarlyStopping("val/mse", patience=5)

        assert [epoch for epoch, loss in enumerate(PUBLISHED) if rule.update(loss)] == [42]
        assert rule.lowest == 0.0014

    def test_worse_counts_up_and_better_down(self):
        assert counts([0.5, 0.75, 0.75, 0.25, 0.5]) == [0, 1, 2, 1, 2]

    def test_worse_is_measured_against_the_lowest(self):
        assert counts([0.25, 0.75, 0.5, 0.375]) == [0, 1, 2, 3]  # each better than the one before

    def test_equal_changes_nothing(self):
        assert counts([0.5, 0.75, 0.5, 0.5, 0.75]) == [0, 1, 1, 1, 2]

    def test_the_count_is_never_below_zero(self):
        assert counts([0.5, 0.25, 0.125, 0.5]) == [0, 0, 0, 1]

    @pytest.mark.parametrize("before", [[], [0.5]])
    def test_a_loss_that_is_not_a_number_stops_at_once(self, before):
        rule = ForgivingEarlyStopping("val/mse", patience=5)
        for loss in before:
            assert not rule.update(loss)

        assert rule.update(math.nan)

    @pytest.mark.parametrize("after", range(len(PUBLISHED)))
    def test_it_goes_on_from_its_state(self, after):
        first, second = ForgivingEarlyStopping("val/mse"), ForgivingEarlyStopping("val/mse")
        for loss in PUBLISHED[:after]:
            assert not first.update(loss)

        second.load_state_dict(first.state_dict())

        assert [epoch for epoch, loss in enumerate(PUBLISHED[after:], after) if second.update(loss)] == [42]

    @pytest.mark.parametrize("patience", [0, -1])
    def test_a_patience_below_one_is_refused(self, patience):
        with pytest.raises(ValueError, match=f"patience {patience} would stop before the first epoch; give at least 1"):
            ForgivingEarlyStopping("val/mse", patience)

    def test_a_trainer_stops(self, train_config, tmp_path, monkeypatch, caplog):
        losses = [0.5, 0.75, 0.75, 0.25, 0.5, 0.5, 0.125]

        def validation_step(self, batch, index):
            self.log("val/mse", losses[self.current_epoch], batch_size=len(batch.image))
            return batch.image

        monkeypatch.setattr(InpaintingModule, "validation_step", validation_step)
        caplog.set_level("INFO", "imcomp")
        patience = "callbacks.early_stopping.patience=3"
        metrics = train(train_config(tmp_path, "trainer.max_epochs=9", "logger=csv", patience))

        assert metrics["epoch"] == 3
        assert metrics["val/mse"] == 0.25
        assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 5
        assert "after epoch 5: val/mse was worse 3 times more often than better; lowest 0.25" in caplog.text

    def test_a_run_that_it_ended_has_ended(self, train_config, tmp_path, monkeypatch):
        losses = [0.25, 0.5, 0.5, 0.5]

        def validation_step(self, batch, index):
            self.log("val/mse", losses[self.current_epoch], batch_size=len(batch.image))

        monkeypatch.setattr(InpaintingModule, "validation_step", validation_step)
        last = tmp_path / "run" / "checkpoints" / "last.ckpt"
        options = ("trainer.max_epochs=4", "logger=csv", "callbacks.samples=null", "callbacks.early_stopping.patience")

        for resume, patience, epoch in (("null", 1, 1), (last, 1, 1), (last, 2, 2)):
            metrics = train(train_config(tmp_path, *options[:-1], f"{options[-1]}={patience}", f"resume={resume}"))
            assert torch.load(last, weights_only=True)["epoch"] == epoch
            assert (metrics["epoch"], metrics["val/mse"]) == (0, 0.25)

    def test_what_is_not_logged_cannot_be_monitored(self, train_config, tmp_path):
        with pytest.raises(InputError) as caught:
            train(train_config(tmp_path, "callbacks.early_stopping.monitor=val/error"))

        assert "early stopping monitors 'val/error', which is not logged; choose from " in str(caught.value)
        assert "val/mse" in str(caught.value)
        assert "\n" not in str(caught.value)


def batch_of_two():
    """A dark and a bright picture of 2 x 2 pixels, each with its upper row missing."""
    image = torch.stack([torch.full((1, 2, 2), 0.25), torch.full((1, 2, 2), 0.75)])
    mask = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).expand(2, 1, 2, 2)
    return Batch(image, mask, torch.arange(2))


def cells(grid, rows, columns):
    """Cut a grid of 2 x 2 pixels a picture, 2 pixels apart, into ``cells[row][column]``, one channel."""
    assert grid.shape == (3, 4 * rows + 2, 4 * columns + 2)
    assert torch.equal(grid[0], grid[1])
    starts = [[(4 * row + 2, 4 * column + 2) for column in range(columns)] for row in range(rows)]
    return [[grid[0, top : top + 2, left : left + 2].tolist() for top, left in line] for line in starts]


class TestSampleGrid:
    def test_no_picture_is_refused(self):
        with pytest.raises(ValueError, match=r"count 0 shows nothing; give at least 1, or callbacks\.samples=null"):
            SampleGrid(count=0)

    def test_its_rows_are_masked_completed_original_and_error(self):
        output = torch.full((2, 1, 2, 2), 0.5)

        masked, completed, original, error = cells(SampleGrid().grid(batch_of_two(), output), 4, 2)

        assert masked == [[[0, 0], [0.25, 0.25]], [[0, 0], [0.75, 0.75]]]
        assert completed == [[[0.5, 0.5], [0.25, 0.25]], [[0.5, 0.5], [0.75, 0.75]]]  # the known row is kept
        assert original == [[[0.25, 0.25]] * 2, [[0.75, 0.75]] * 2]
        assert error == [[[1, 1], [0, 0]]] * 2  # 4 x 0.25 in the hole, nothing outside

    def test_the_error_is_brightened_and_ends_at_white(self):
        output = torch.full((2, 1, 2, 2), 0.5)

        assert cells(SampleGrid(error_gain=1).grid(batch_of_two(), output), 4, 2)[3][0] == [[0.25, 0.25], [0, 0]]
        assert cells(SampleGrid(error_gain=9).grid(batch_of_two(), output), 4, 2)[3][0] == [[1, 1], [0, 0]]

    def test_an_output_out_of_range_is_shown_in_range(self):
        output = torch.tensor([[[[7.0, -7.0], [9.0, 9.0]]]]).expand(2, 1, 2, 2)

        grid = SampleGrid().grid(batch_of_two(), output)

        assert cells(grid, 4, 2)[1][0] == [[1, 0], [0.25, 0.25]]
        assert grid.min() == 0
        assert grid.max() == 1

    def test_it_shows_so_many_pictures_and_no_more(self):
        output = torch.full((2, 1, 2, 2), 0.5)

        assert SampleGrid(count=1).grid(batch_of_two(), output).shape == (3, 18, 6)
        assert SampleGrid(count=5).grid(batch_of_two(), output).shape == (3, 18, 10)

    def test_colours_are_kept_and_half_precision_is_taken(self):
        image = torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
        batch = Batch(image, torch.ones(1, 1, 2, 2), torch.arange(1))

        grid = SampleGrid().grid(batch, torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16))

        assert grid.dtype == torch.float32
        assert grid[:, 10, 2].tolist() == [0.25, 0.5, 0.75]  # the third row begins at 2 + 2 * 4

    def test_only_the_first_batch_of_a_validation_is_shown(self):
        shown = []
        logger = TensorBoardLogger.__new__(TensorBoardLogger)
        logger._experiment = SimpleNamespace(add_image=lambda name, image, step: shown.append((name, step)))
        trainer = SimpleNamespace(sanity_checking=False, is_global_zero=True, loggers=[logger], global_step=7)

        for index in (0, 1):
            SampleGrid().on_validation_batch_end(trainer, None, torch.zeros(2, 1, 2, 2), batch_of_two(), index)
        trainer.sanity_checking = True
        SampleGrid().on_validation_batch_end(trainer, None, torch.zeros(2, 1, 2, 2), batch_of_two(), 0)

        assert shown == [("val/samples", 7)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(imcomp.callbacks.time, "perf_counter", lambda: now.seconds)
    return now


class TestThroughput:
    @staticmethod
    def speeds(callback, clock, steps, images=32, world_size=1):
        logged = []
        module = SimpleNamespace(log=lambda name, value, **_: logged.append((name, value)))
        trainer = SimpleNamespace(world_size=world_size)
        batch = Batch(torch.zeros(images, 1, 1, 1), torch.zeros(images, 1, 1, 1), torch.arange(images))
        for seconds in steps:
            callback.on_train_batch_start(trainer, module, batch, 0)
            clock.seconds += seconds
            callback.on_train_batch_end(trainer, module, None, batch, 0)
        assert {name for name, _ in logged} == {"train/images_per_second"}
        return [value for _, value in logged]

    def test_32_images_in_2_seconds_are_16_a_second(self, clock):
        callback = Throughput()
        callback.on_train_epoch_start(None, None)

        assert self.speeds(callback, clock, [2, 2, 2]) == [16, 16, 16]

    def test_a_run_resumed_in_mid_epoch_begins_without_an_epochs_start(self, clock):
        assert self.speeds(Throughput(), clock, [2, 2]) == [16, 16]

    def test_only_the_last_batches_count(self, clock):
        # a window of 3 ends of batches spans 2 batches
        assert self.speeds(Throughput(window=3), clock, [2, 2, 4, 4]) == [16, 16, 64 / 6, 8]

    def test_the_wait_for_data_counts(self, clock):
        callback = Throughput()
        self.speeds(callback, clock, [1])
        clock.seconds += 6  # between the batches

        assert self.speeds(callback, clock, [1]) == [8]  # 64 images in 8 seconds

    def test_validation_does_not_count(self, clock):
        callback = Throughput()
        self.speeds(callback, clock, [2, 2])
        clock.seconds += 1000
        callback.on_train_epoch_start(None, None)

        assert self.speeds(callback, clock, [2]) == [16]

    def test_the_images_of_all_processes_count(self, clock):
        assert self.speeds(Throughput(), clock, [2], world_size=2) == [32]


class TestNetworkGraph:
    def test_the_network_is_drawn_and_left_as_it_was(self, tmp_path):
        module = InpaintingModule(channels=[2, 4], dropout=0.5).train()
        before = {key: value.clone() for key, value in module.state_dict().items()}
        random_state = torch.get_rng_state()
        logger = TensorBoardLogger(tmp_path, name="", version="")

        NetworkGraph().on_train_start(SimpleNamespace(loggers=[logger], is_global_zero=True), module)
        logger.finalize("success")

        events = EventAccumulator(str(tmp_path)).Reload()
        assert any("encoder" in node.name for node in events.Graph().node)
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
        assert torch.equal(torch.get_rng_state(), random_state)
        assert all(layer.training for layer in module.modules())

    def test_without_tensorboard_there_is_nothing_to_do(self):
        NetworkGraph().on_train_start(SimpleNamespace(loggers=[], is_global_zero=True), InpaintingModule(channels=[2]))


def test_the_progress_bar_shows_three_short_names(monkeypatch):
    every = {"v_num": 3, "train/loss": 0.5, "train/images_per_second": 16, "val/mse": 0.25, "val/psnr": 6.0}
    monkeypatch.setattr(pl.callbacks.RichProgressBar, "get_metrics", lambda *_: every)

    assert ProgressBar().get_metrics(None, None) == {"loss": 0.5, "val/mse": 0.25, "images/s": 16}


def test_the_bar_shows_small_errors():
    assert f"{0.00141:{ProgressBar().theme.metrics_format}}" == "0.00141"

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from imcomp.metrics import (
    TOLERANCE,
    HoleAccuracy,
    MaskedMSE,
    MaskedPSNR,
    MeanOverPictures,
    hole_accuracy,
    hole_metrics,
    hole_psnr,
)


def random_batch(count, seed):
    """Outputs as wrong as they come near the tolerance, and holes of many sizes."""
    rng = np.random.default_rng(seed)
    target = rng.random((count, 3, 6, 5), dtype=np.float32)
    noise = rng.normal(0, rng.uniform(0.02, 0.14, (count, 1, 1, 1)), target.shape).astype(np.float32)
    mask = rng.random((count, 1, 6, 5)) < rng.uniform(0.1, 0.9, (count, 1, 1, 1))
    mask[:, :, 0, 0] = True
    return tuple(torch.from_numpy(array) for array in (target + noise, target, mask.astype(np.float32)))


def reference(batches):
    """The same scores picture by picture, in NumPy and scikit-image."""
    errors, decibels = [], []
    for output, target, mask in batches:
        for o, t, m in zip(output.double().numpy(), target.double().numpy(), mask.numpy(), strict=True):
            inside = np.broadcast_to(m, o.shape) > 0
            errors.append(np.mean((o[inside] - t[inside]) ** 2))
            decibels.append(peak_signal_noise_ratio(t[inside], o[inside], data_range=1))
    return {
        "mse": np.mean(errors),
        "accuracy": np.mean([error <= TOLERANCE for error in errors]),
        "psnr": np.mean(decibels),
    }


def wrong(*pixels, value=1.0, size=(10, 20)):
    """One picture for each number: so many pixels are off by ``value``; the hole is the whole picture."""
    target = torch.zeros(len(pixels), 1, *size)
    output = target.clone()
    for picture, count in zip(output, pixels, strict=True):
        picture.view(-1)[:count] = value
    return output, target, torch.ones_like(target)


def score(metric, *batch):
    metric.update(*batch)
    return metric.compute().item()


def scores(batches):
    metrics = hole_metrics()
    for batch in batches:
        metrics.update(*batch)
    return {name: value.item() for name, value in metrics.compute().items()}


UNEVEN = [random_batch(count, seed) for seed, count in enumerate((7, 1, 12, 4))]


def test_scores_are_the_references_over_uneven_batches():
    expected = reference(UNEVEN)

    assert 0.2 < expected["accuracy"] < 0.8  # or it would tell nothing
    assert scores(UNEVEN) == pytest.approx(expected, rel=1e-5)


def test_scores_do_not_depend_on_the_batches():
    whole = tuple(torch.cat(parts) for parts in zip(*UNEVEN, strict=True))

    assert scores([whole]) == pytest.approx(scores(UNEVEN), rel=1e-6)


@pytest.mark.parametrize("kind", [MaskedMSE, HoleAccuracy, MaskedPSNR])
def test_two_processes_give_what_one_gives(kind):
    one, first, second = kind(), kind(), kind()
    for batch in UNEVEN:
        one.update(*batch)
    first.update(*UNEVEN[0])
    for batch in UNEVEN[1:]:
        second.update(*batch)

    # what torchmetrics does between processes: states are gathered, stacked and reduced
    for name, reduce in first._reductions.items():
        setattr(first, name, reduce(torch.stack([getattr(first, name), getattr(second, name)])))

    assert first.compute().item() == pytest.approx(one.compute().item(), rel=1e-6)


def test_a_process_without_pictures_does_not_matter():
    busy, idle = MaskedMSE(), MaskedMSE()
    busy.update(*UNEVEN[0])
    expected = busy.compute().item()

    busy.merge_state(idle)

    assert busy.compute().item() == expected


def test_mse_is_the_mean_over_pictures():
    assert score(MaskedMSE(), *wrong(200, 100, 0)) == 0.5  # 1, 0.5 and 0


@pytest.mark.parametrize(
    ("pixels", "accurate"),
    [
        pytest.param(0, 1.0, id="below"),
        pytest.param(1, 1.0, id="one of 200 is exactly 0.005"),
        pytest.param(2, 0.0, id="above"),
    ],
)
def test_an_error_of_exactly_the_tolerance_is_accurate(pixels, accurate):
    assert score(HoleAccuracy(), *wrong(pixels)) == accurate


@pytest.mark.parametrize("size", [(10, 20), (40, 40), (100, 200)])
def test_the_tolerance_is_met_exactly_in_holes_of_any_size(size):
    # 1 / 200 is no binary fraction: the quotient must round as the tolerance does
    pixels = size[0] * size[1] // 200

    assert score(HoleAccuracy(), *wrong(pixels, size=size)) == 1
    assert score(HoleAccuracy(), *wrong(pixels + 1, size=size)) == 0


def test_accuracy_judges_each_picture_and_not_their_mean():
    assert score(HoleAccuracy(), *wrong(0, 1, 200, 2)) == 0.5


def test_another_tolerance():
    assert score(HoleAccuracy(tolerance=0.5), *wrong(100, 101)) == 0.5
    assert hole_accuracy(torch.tensor([0.2, 0.3]), tolerance=0.25).tolist() == [1, 0]


@pytest.mark.parametrize(("mse", "decibels"), [(1.0, 0), (0.1, 10), (0.01, 20), (0.001, 30), (0.0, 100), (1e-12, 100)])
def test_psnr_counts_ten_decibels_for_each_power_of_ten(mse, decibels):
    assert hole_psnr(torch.tensor([mse])).item() == pytest.approx(decibels, abs=1e-4)


def test_psnr_is_averaged_in_decibels():
    # errors of 0.1 and 1 everywhere: 20 dB and 0 dB; the mean error of 0.505 would be 3 dB
    output, target, mask = wrong(200, 200)
    output[0] *= 0.1

    assert score(MaskedPSNR(), output, target, mask) == pytest.approx(10, abs=1e-4)


def test_a_perfect_completion_scores_best():
    output, target, mask = wrong(0)

    assert scores([(output, target, mask)]) == {"mse": 0.0, "accuracy": 1.0, "psnr": 100.0}


@pytest.mark.parametrize("kind", [MaskedMSE, HoleAccuracy, MaskedPSNR])
def test_pictures_without_a_hole_do_not_count(kind):
    output, target, mask = wrong(200, 20, 0)
    expected = score(kind(), output[1:2], target[1:2], mask[1:2])
    mask[[0, 2]] = 0

    metric = kind()

    assert score(metric, output, target, mask) == expected
    assert metric.count == 1


@pytest.mark.parametrize("kind", [MaskedMSE, HoleAccuracy, MaskedPSNR])
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_nothing_counted_is_nan(kind):
    output, target, mask = wrong(3)

    assert math.isnan(kind().compute().item())
    assert math.isnan(score(kind(), output, target, torch.zeros_like(mask)))


def test_an_output_that_is_not_a_number_is_neither_hidden_nor_accurate():
    output, target, mask = wrong(0, 0)
    output[0, 0, 0, 0] = float("nan")

    result = scores([(output, target, mask)])

    assert math.isnan(result["mse"])
    assert math.isnan(result["psnr"])
    assert result["accuracy"] == 0.5


def test_reset_forgets():
    metric = MaskedMSE()
    metric.update(*wrong(200))
    metric.reset()

    assert score(metric, *wrong(100)) == 0.5


def test_states_hold_no_graph_and_stay_float32():
    output, target, mask = wrong(100)
    metric = MaskedMSE()

    metric.update(output.bfloat16().requires_grad_(), target, mask)

    assert not metric.total.requires_grad
    assert metric.total.dtype == torch.float32
    assert metric.compute().item() == 0.5


def test_names_carry_the_prefix():
    metrics = hole_metrics("val/")
    metrics.update(*wrong(1))

    assert set(metrics.compute()) == {"val/mse", "val/accuracy", "val/psnr"}


def test_a_mean_of_means_counts_pictures():
    # 3 pictures of 1 on average and 1 of 5: 8 / 4
    metric = MeanOverPictures()
    metric.update(torch.tensor(1.0), torch.tensor(3))
    metric.update(torch.tensor(5.0), torch.tensor(1))
    metric.update(torch.tensor(0.0), torch.tensor(0))

    assert metric.compute() == 2

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from imcomp.metrics import (
    TOLERANCE,
    ByArea,
    HoleAccuracy,
    MaskedMAE,
    MaskedMSE,
    MaskedPSNR,
    MaskedSSIM,
    MeanOverPictures,
    complete,
    hole_accuracy,
    hole_mae,
    hole_metrics,
    hole_psnr,
    hole_scores,
    window_ssim,
)

EVERY = [MaskedMSE, MaskedMAE, HoleAccuracy, MaskedPSNR, MaskedSSIM]


def random_batch(count, seed, size=(12, 13)):
    """Outputs as wrong as they come near the tolerance, and holes of many sizes."""
    rng = np.random.default_rng(seed)
    target = rng.random((count, 3, *size), dtype=np.float32)
    noise = rng.normal(0, rng.uniform(0.02, 0.14, (count, 1, 1, 1)), target.shape).astype(np.float32)
    mask = rng.random((count, 1, *size)) < rng.uniform(0.1, 0.9, (count, 1, 1, 1))
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


@pytest.mark.parametrize("kind", [*EVERY, lambda: ByArea(hole_mae)])
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

    assert first.compute().numpy() == pytest.approx(one.compute().numpy(), rel=1e-6, nan_ok=True)


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


@pytest.mark.parametrize("kind", EVERY)
def test_pictures_without_a_hole_do_not_count(kind):
    output, target, mask = wrong(200, 20, 0, size=(11, 20))
    expected = score(kind(), output[1:2], target[1:2], mask[1:2])
    mask[[0, 2]] = 0

    metric = kind()

    assert score(metric, output, target, mask) == expected
    assert metric.count == 1


@pytest.mark.parametrize("kind", EVERY)
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


def test_mae_is_the_mean_over_pictures_and_channels():
    output, target, mask = wrong(100, 0)  # half of the hole off by 1
    assert hole_mae(output, target, mask).tolist() == [0.5, 0]
    assert score(MaskedMAE(), -output, target, mask) == 0.25
    assert hole_mae(output.expand(-1, 3, -1, -1), target.expand(-1, 3, -1, -1), mask).tolist() == [0.5, 0]


def picture_pair(seed, channels=1, size=(48, 40)):
    rng = np.random.default_rng(seed)
    target = rng.random((1, channels, *size), dtype=np.float32)
    return torch.from_numpy(target + rng.normal(0, 0.3, target.shape).astype(np.float32)), torch.from_numpy(target)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("hole", [(14, 14, 24, 20), (10, 11, 11, 12), (20, 15, 37, 29)])
def test_ssim_is_scikit_images_of_the_window_round_the_hole(channels, hole):
    output, target = picture_pair(1, channels)
    top, left, bottom, right = hole
    mask = torch.zeros(1, 1, 48, 40)
    mask[..., top:bottom, left:right] = 1
    window = np.s_[..., top - 10 : bottom + 10, left - 10 : right + 10]

    expected = structural_similarity(
        complete(output, target, mask)[0].numpy()[window],
        target[0].numpy()[window],
        data_range=1,
        gaussian_weights=True,
        use_sample_covariance=False,
        channel_axis=0,
    )

    assert window_ssim(output, target, mask).item() == pytest.approx(expected, abs=1e-5)


def test_ssim_does_not_depend_on_what_is_far_from_the_hole():
    output, target = picture_pair(2)
    mask = torch.zeros(1, 1, 48, 40)
    mask[..., 5:9, 5:9] = 1
    other = target.clone()
    other[..., 30:, 30:] = 0
    assert window_ssim(output, other, mask) == window_ssim(output, target, mask)


def test_ssim_of_a_free_form_hole_counts_every_window_that_touches_it():
    output, target = picture_pair(3)
    mask = torch.zeros(1, 1, 48, 40)
    mask[..., 12, 12] = mask[..., 30, 20] = 1
    _, similarity = structural_similarity(
        complete(output, target, mask)[0, 0].numpy(),
        target[0, 0].numpy(),
        data_range=1,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    touching = np.zeros((48, 40), dtype=bool)
    touching[7:18, 7:18] = touching[25:36, 15:26] = True
    assert window_ssim(output, target, mask).item() == pytest.approx(similarity[touching].mean(), abs=1e-5)


def test_ssim_needs_room_for_a_window():
    assert math.isnan(window_ssim(*wrong(3, size=(10, 20))).item())
    assert window_ssim(*wrong(0, size=(11, 11))).item() == 1


def test_completing_clamps_and_keeps_what_is_known():
    output = torch.tensor([[[[2.0, -1.0, 0.5, 0.5]]]])
    target = torch.tensor([[[[0.1, 0.2, 0.3, 0.4]]]])
    mask = torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]])
    assert torch.equal(complete(output, target, mask), torch.tensor([[[[1.0, 0.0, 0.5, 0.4]]]]))


def test_all_scores_of_each_picture():
    output, target, mask = wrong(200, 0, size=(11, 20))
    found = hole_scores(output, target, mask)
    assert set(found) == {"mse", "mae", "psnr", "ssim", "accuracy"}
    assert found["mse"].tolist() == found["mae"].tolist() == [pytest.approx(200 / 220), 0]
    assert found["accuracy"].tolist() == [0, 1]
    assert found["ssim"][1] == 1
    assert found["psnr"][1] == 100


def test_by_area():
    output, target, mask = wrong(200, 100, 50, 0)
    mask[1, :, 5:] = 0  # a half, wrong everywhere
    mask[2, :, 5:] = 0  # a half, wrong in one of two
    mask[3] = 0  # no hole
    metric = ByArea(MaskedMSE().score, edges=(0, 0.25, 0.5, 1))
    metric.update(output, target, mask)
    assert metric.count.tolist() == [0, 2, 1]
    means = metric.compute().tolist()
    assert math.isnan(means[0])
    assert means[1:] == [0.75, 1]


def test_the_bins_hold_every_hole():
    metric = ByArea(hole_mae)
    for batch in UNEVEN:
        metric.update(*batch)
    assert metric.count.sum() == sum(len(batch[0]) for batch in UNEVEN)

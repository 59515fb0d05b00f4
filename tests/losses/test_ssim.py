import numpy as np
import pytest
import torch

from imcomp.losses.ssim import SSIMLoss, hole_ssim, ssim_map, touched


def pictures(channels=1, size=24, seed=0):
    """A picture, the same with noise in a hole of 6 x 6 pixels, and the hole."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(2, channels, size, size, generator=generator)
    mask = torch.zeros(2, 1, size, size)
    mask[..., 9:15, 9:15] = 1
    noise = torch.rand(target.shape, generator=generator)
    return torch.where(mask > 0, noise, target), target, mask


@pytest.mark.parametrize("channels", [1, 3])
def test_scikit_image_says_the_same(channels):
    metrics = pytest.importorskip("skimage.metrics", reason="compares with scikit-image")
    completed, target, mask = pictures(channels, size=32)
    wanted = [
        metrics.structural_similarity(
            *(image.permute(1, 2, 0).numpy().astype(np.float64) for image in pair),
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            full=True,
        )[1]
        for pair in zip(completed, target, strict=True)
    ]
    inner = torch.from_numpy(np.stack(wanted)).permute(0, 3, 1, 2)[..., 5:-5, 5:-5].float()
    # windows of 11 reach the hole's 9..14 from the centres 4..19, of which 5..19 are those of whole windows
    touching = inner[..., :15, :15]

    torch.testing.assert_close(ssim_map(completed, target), inner, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(hole_ssim(completed, target, mask), touching.mean(dim=(1, 2, 3)), rtol=1e-4, atol=0)


def test_equal_pictures_are_alike_by_1_and_the_opposite_by_less_than_0():
    _, target, mask = pictures()

    assert hole_ssim(target, target, mask).tolist() == pytest.approx([1, 1])
    assert (hole_ssim(1 - target, target, torch.ones_like(mask)) < 0).all()


def test_levels_without_structure_are_compared_by_their_luminance():
    black, white = torch.zeros(1, 1, 11, 11), torch.ones(1, 1, 11, 11)

    # (2 * 0 * 1 + c) / (0 + 1 + c) with c = 1e-4
    assert ssim_map(black, white).item() == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-2)


def test_only_windows_that_touch_the_hole_count():
    mask = torch.zeros(1, 1, 9, 9)
    mask[0, 0, 4, 4] = 1

    assert touched(mask, 3).sum().item() == 9
    assert touched(mask, 3)[0, 0, 2:5, 2:5].all()
    small, large = pictures(size=24), pictures(size=64)
    for completed, target, hole in (small, large):
        value = hole_ssim(completed, target, hole)
        assert value.max() < 0.92  # a large picture round the hole does not flatter it
    everywhere = hole_ssim(large[0], large[1], torch.ones_like(large[2]))
    assert everywhere.min() > 0.97


def test_a_picture_without_a_hole_is_nan_and_the_loss_leaves_it_out():
    completed, target, mask = pictures()
    mask[1] = 0

    values = hole_ssim(completed, target, mask)

    assert values[1].isnan()
    assert SSIMLoss()(completed, target, mask).item() == pytest.approx(1 - values[0].item())
    assert SSIMLoss()(completed, target, torch.zeros_like(mask)).item() == 0


def test_training_on_it_mends_the_hole():
    completed, target, mask = pictures()
    hole = completed.clone().requires_grad_()
    optimizer = torch.optim.Adam([hole], lr=0.05)
    before = SSIMLoss()(hole, target, mask).item()
    for _ in range(40):
        optimizer.zero_grad()
        SSIMLoss()(torch.where(mask > 0, hole, target), target, mask).backward()
        optimizer.step()

    assert hole.grad[mask.expand_as(hole) == 0].eq(0).all()
    assert SSIMLoss()(torch.where(mask > 0, hole, target), target, mask).item() < before / 4


def test_autocast_rounds_nothing():
    completed, target, mask = pictures()
    wanted = hole_ssim(completed, target, mask)

    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(hole_ssim(completed, target, mask), wanted)


def test_a_small_picture_is_refused_and_a_small_window_helps():
    completed, target, mask = pictures(size=16)
    completed, target, mask = (image[..., :10, :] for image in (completed, target, mask))
    with pytest.raises(ValueError, match="a picture of 10x16 pixels has no room for a window of 11; give"):
        hole_ssim(completed, target, mask)

    assert hole_ssim(completed, target, mask, window=7).shape == (2,)


@pytest.mark.parametrize("window", [0, 1, 4, -3])
def test_a_window_without_a_middle_is_refused(window):
    with pytest.raises(ValueError, match=f"window={window} has no middle; give an odd number"):
        SSIMLoss(window)


def test_the_margin_is_what_the_windows_reach():
    assert (SSIMLoss(7).margin, SSIMLoss().margin) == (6, 10)

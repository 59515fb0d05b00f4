"""LPIPS and FID with backbones from files: random ones here, which know nothing and measure as well."""

import pytest
import torch
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision import models

from imcomp.errors import InputError
from imcomp.perception import LPIPS, LPIPS_NETS, build_fid

BUILD = {"alex": models.alexnet, "squeeze": models.squeezenet1_1, "vgg": models.vgg16}


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """A file as torchvision's, but for its classifier of 200 MB, which is not used."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("backbones") / "alexnet.pth"
    torch.save({f"features.{key}": value for key, value in models.alexnet().features.state_dict().items()}, path)
    return path


def batch(count=2, channels=3, size=64):
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(count, channels, size, size, generator=generator)
    output = torch.rand(count, channels, size, size, generator=generator)
    mask = torch.zeros(count, 1, size, size)
    mask[..., 20:44, 20:44] = 1
    return output, target, mask


def test_lpips_is_that_of_the_backbone_in_the_file(alexnet):
    output, target, mask = batch()
    reference = _LPIPS(net="alex", pnet_rand=True)
    state = torch.load(alexnet, weights_only=True)
    for key, value in reference.net.state_dict().items():
        value.copy_(state[f"features.{key.partition('.')[2]}"])
    completed = torch.where(mask > 0, output, target)
    expected = reference(2 * completed - 1, 2 * target - 1).flatten()

    metric = LPIPS("alex", alexnet)

    assert metric.score(output, target, mask) == pytest.approx(expected, rel=1e-5)
    assert metric.score(target, target, mask).tolist() == [0, 0]
    metric.update(output, target, mask)
    metric.update(target, target, mask)
    assert metric.compute().item() == pytest.approx(expected.sum().item() / 4, rel=1e-5)


def test_lpips_of_grey_pictures_and_of_wild_outputs(alexnet):
    output, target, mask = batch(channels=1)
    metric = LPIPS("alex", alexnet)
    grey = metric.score(output, target, mask)
    three = metric.score(*(one.expand(-1, 3, -1, -1) for one in (output, target)), mask)
    assert torch.equal(grey, three)
    assert torch.equal(metric.score(output + 9, target, mask), metric.score(output * 0 + 1, target, mask))  # clamped


def test_pictures_that_are_too_small_for_lpips(alexnet):
    with pytest.raises(InputError, match="lpips needs pictures of at least 32 pixels"):
        LPIPS("alex", alexnet).score(*batch(size=31))


@pytest.mark.slow
@pytest.mark.parametrize("net", sorted(LPIPS_NETS))
def test_every_backbone(net, tmp_path):
    features = BUILD[net]().features.state_dict()
    torch.save({f"features.{key}": value for key, value in features.items()}, tmp_path / "net.pth")
    assert (LPIPS(net, tmp_path / "net.pth").score(*batch()) > 0).all()


def test_files_that_do_not_do(alexnet, tmp_path):
    with pytest.raises(InputError, match=r"lpips\.net=resnet is unknown; choose from alex, squeeze, vgg"):
        LPIPS("resnet", alexnet)
    with pytest.raises(InputError, match=r"lpips\.weights=nowhere: no such file; give one of torchvision's alexnet"):
        LPIPS("alex", "nowhere")
    with pytest.raises(InputError, match="holds no weights of torchvision's vgg16") as caught:
        LPIPS("vgg", alexnet)
    assert "\n" not in str(caught.value)
    for content in (b"", b"text", alexnet.read_bytes()[:999]):
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(InputError, match="holds no weights of torchvision's inception_v3"):
            build_fid(tmp_path / "bad.pth")
    torch.save([1, 2], tmp_path / "bad.pth")
    with pytest.raises(InputError, match="holds no weights; give a file of torchvision's inception_v3"):
        build_fid(tmp_path / "bad.pth")
    with pytest.raises(InputError, match="holds no weights of torchvision's inception_v3"):
        build_fid(alexnet)


@pytest.mark.slow
def test_fid(tmp_path):
    torch.manual_seed(0)
    state = models.inception_v3(weights=None, init_weights=False).state_dict()
    for value in state.values():
        if value.ndim == 4:
            value.mul_(6**0.5)  # as drawn, a random network's features fade from layer to layer
    torch.save(state, tmp_path / "inception.pth")
    fid = build_fid(tmp_path / "inception.pth")
    pictures = torch.rand(6, 1, 48, 48)
    fid.update(pictures, real=True)
    fid.update(pictures, real=False)
    assert fid.compute().item() == pytest.approx(0, abs=1e-3)
    fid.update(torch.zeros(6, 1, 48, 48), real=False)
    assert fid.compute() > 1e-3

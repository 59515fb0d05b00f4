import pytest
import torch
from torchvision.models import get_model

from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.losses.perceptual import BACKBONES, PerceptualLoss, load_stages
from imcomp.losses.summed import WeightedSum

KEYS = {"vgg16": ("features.0.",), "vgg19": ("features.0.", "features.2."), "resnet18": ("conv1.", "bn1.")}
"""What the first one or two convolutions of a backbone are called in torchvision's files."""


def save_weights(file, name="vgg16", prefixes=("features.0.", "features.2.")):
    """Random weights of the layers with these names, as torchvision would save them."""
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in get_model(name, weights=None).state_dict().items()}
    weights = {
        key: 0.1 * torch.rand(shape) if "running" in key else 0.1 * torch.randn(shape)
        for key, shape in shapes.items()
        if key.startswith(prefixes) and "num_batches" not in key
    }
    torch.save(weights, file)
    return file


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The first two stages of VGG-16."""
    names = tuple(f"features.{index}." for index in (0, 2, 5, 7))
    return save_weights(tmp_path_factory.mktemp("weights") / "vgg16.pth", prefixes=names)


def pictures(channels=1, size=24):
    generator = torch.Generator().manual_seed(1)
    output, image = torch.rand(2, 2, channels, size, size, generator=generator)
    mask = torch.zeros(2, 1, size, size)
    mask[..., 8:16, 8:16] = 1
    return torch.where(mask > 0, output, image), image, mask


def test_it_is_the_mean_difference_of_the_features_in_the_hole(weights):
    completed, image, mask = pictures(channels=3)
    state = torch.load(weights, weights_only=True)

    def features(picture):  # the first stage, written out
        mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
        maps = (picture - mean) / deviation
        for index in (0, 2):
            weight, bias = (state[f"features.{index}.{kind}"] for kind in ("weight", "bias"))
            maps = torch.conv2d(maps, weight, bias, padding=1).relu()
        return maps

    difference = (features(completed) - features(image)).abs()[..., 8:16, 8:16]
    loss = PerceptualLoss(weights=weights, layers=[1])(completed, image, mask)

    assert loss.item() == pytest.approx(difference.mean().item(), rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
def test_gradients_reach_the_hole_and_no_weight(weights, channels):
    completed, image, mask = pictures(channels)
    completed.requires_grad_()
    loss = PerceptualLoss(weights=weights, layers=[1, 2])

    value = loss(completed, image, mask)
    value.backward()

    assert value.item() > 0
    assert completed.grad[..., 8:16, 8:16].abs().sum() > 0
    assert loss(image, image, mask).item() == 0
    assert not any(parameter.requires_grad for parameter in loss._backbone[0].parameters())


def test_a_grey_picture_is_three_equal_channels(weights):
    completed, image, mask = pictures()
    loss = PerceptualLoss(weights=weights, layers=[2])

    torch.testing.assert_close(
        loss(completed, image, mask), loss(completed.repeat(1, 3, 1, 1), image.repeat(1, 3, 1, 1), mask)
    )


def test_its_weights_are_no_part_of_the_module(weights):
    loss = PerceptualLoss(weights=weights, layers=[1])

    assert loss.state_dict() == {}
    assert [*loss.parameters()] == []


def test_the_box_shows_the_hole_and_its_margin(weights):
    completed, image, mask = pictures(size=32)
    box = Box(8, 8, 16, 16)
    loss = WeightedSum({"perceptual": {"weights": str(weights), "layers": [1, 2], "margin": 8}})
    whole, boxed = loss(completed, image, mask)[0], loss(box.crop(completed), image, mask, box)[0]

    # the four convolutions and one pooling see 8 pixels at most
    torch.testing.assert_close(boxed, whole)


@pytest.mark.parametrize("name", [*KEYS])
def test_every_kind_of_backbone_gives_its_first_stage(name, tmp_path):
    (first,) = load_stages(name, save_weights(tmp_path / "a.pth", name, (*KEYS[name], "features.2.")), count=1)

    assert first(torch.zeros(1, 3, 8, 8)).shape == (1, 64, *((4, 4) if name == "resnet18" else (8, 8)))
    assert not first.training


@pytest.mark.parametrize("name", BACKBONES)
def test_stages_halve_the_map_each(name, monkeypatch):
    with torch.device("meta"):
        state = get_model(name, weights=None).state_dict()
    monkeypatch.setattr("imcomp.losses.perceptual._find_weights", lambda *_: "file")
    monkeypatch.setattr(torch, "load", lambda *_, **__: state)
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
    features, sizes = torch.zeros(1, 3, 64, 64, device="meta"), []
    for stage in load_stages(name, None):
        features = stage(features)
        sizes.append(features.shape[-1])

    assert sizes == ([64, 32, 16, 8, 4] if name.startswith("vgg") else [32, 16, 8, 4, 2])


class TestWeightsThatAreNotThere:
    def test_the_cache_is_looked_in_and_what_to_do_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        file = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
        with pytest.raises(InputError) as error:
            PerceptualLoss()

        text = str(error.value)
        assert f"needs weights of vgg16 and {file} is not there; download https://" in text
        assert "loss.perceptual.weights=FILE" in text
        assert "\n" not in text
        file.parent.mkdir(parents=True)
        save_weights(file)
        assert PerceptualLoss(layers=[1]).layers == {1}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "weights=.*: no such file; give a file of vgg16's weights"),
            (b"no zip", "is damaged or holds no weights"),
            ([1, 2], "holds no weights of vgg16: it is a list; give torchvision's"),
            ({"features.0.weight": torch.zeros(1)}, "features.0.weight is missing or of another shape"),
            ({}, "features.0.weight is missing or of another shape"),
        ],
    )
    def test_a_file_that_does_not_do_is_told_in_one_line(self, content, message, tmp_path):
        file = tmp_path / "weights.pth"
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content is not None:
            torch.save(content, file)
        with pytest.raises(InputError, match=message) as error:
            PerceptualLoss(weights=file)
        assert "\n" not in str(error.value)

    def test_code_in_a_file_is_not_run(self, tmp_path):
        torch.save({"features.0.weight": pytest.approx}, tmp_path / "weights.pth")
        with pytest.raises(InputError, match="is damaged or holds no weights"):
            PerceptualLoss(weights=tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "alexnet"}, "unknown backbone 'alexnet'; choose from resnet18, resnet50, vgg16, vgg19"),
        ({"layers": []}, r"layers=\[\] are no stages; give some of 1 to 5"),
        ({"layers": [0, 1]}, r"layers=\[0, 1\] are no stages"),
        ({"margin": -1}, "margin=-1 is no distance"),
    ],
)
def test_a_wrong_option_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        PerceptualLoss(**options)


def test_a_picture_smaller_than_its_deepest_cell_is_refused(weights):
    with pytest.raises(InputError, match="needs pictures of at least 4 pixels; give a larger"):
        PerceptualLoss(weights=weights, layers=[2])(*(image[..., :3] for image in pictures()))

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from imcomp.errors import InputError
from imcomp.finetuning import FrozenDecoder, WholePictureModule
from imcomp.models import NETWORKS, build_network, decoder_parts_of
from imcomp.module import InpaintingModule

SMALL = {"network": "autoencoder", "channels": [4, 8]}


@pytest.mark.parametrize("name", sorted(name for name, kind in NETWORKS.items() if hasattr(kind, "decoder_parts")))
def test_a_decoder_is_a_part_of_the_network_and_makes_its_output(name):
    network = build_network(name, in_channels=1)
    parts = decoder_parts_of(network)
    inside = {key.partition(".")[0] for key, _ in network.named_parameters()}

    assert set(parts) < inside
    last = [*network.named_parameters()][-1][0]
    assert last.startswith(tuple(f"{part}." for part in parts))


def test_a_network_without_one_is_told_with_those_that_have():
    with pytest.raises(ValueError, match=r"Linear has no decoder_parts.*choose from autoencoder, fast"):
        decoder_parts_of(nn.Linear(1, 1))


def test_the_module_of_whole_pictures_is_shown_what_the_hole_hides():
    torch.manual_seed(0)
    module = WholePictureModule(**SMALL).eval()
    image, mask = torch.rand(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    mask[..., 4:8, 4:8] = 1
    hidden = image * (1 - mask)

    assert torch.equal(module(image, mask), module.network(image))
    assert not torch.equal(module(image, mask), module(hidden, mask))
    holed = InpaintingModule(**SMALL).eval()
    assert torch.equal(holed(image, mask), holed(hidden, mask))


def test_the_decoder_has_a_rate_of_its_own():
    optimizer = InpaintingModule(**SMALL, lr=0.1, decoder_lr=0.5).configure_optimizers()["optimizer"]
    encoder, decoder = optimizer.param_groups

    module = InpaintingModule(**SMALL)
    assert [encoder["lr"], decoder["lr"]] == [0.1, 0.05]
    assert len(encoder["params"]) == len([*module.network.encoder.parameters()])
    assert len(decoder["params"]) == len([*module.network.decoder.parameters()])


def test_one_rate_is_one_group():
    (group,) = InpaintingModule(**SMALL).configure_optimizers()["optimizer"].param_groups
    assert len(group["params"]) == len([*InpaintingModule(**SMALL).parameters()])


@pytest.mark.parametrize("schedule", [{"name": "onecycle"}, {"name": "cosine"}, {"name": "step", "step_size": 1}])
def test_each_rate_goes_along_the_schedule(schedule, monkeypatch):
    monkeypatch.setattr("imcomp.module.count_steps", lambda _: 10)
    monkeypatch.setattr(InpaintingModule, "trainer", None)
    module = InpaintingModule(**SMALL, lr=0.1, decoder_lr=0.5, scheduler=schedule)
    configured = module.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for _ in range(9):
        encoder, decoder = (group["lr"] for group in optimizer.param_groups)
        assert decoder == pytest.approx(encoder / 2)
        optimizer.step()
        scheduler.step()


def test_the_decoder_is_held_and_then_let_go():
    torch.manual_seed(0)
    module = InpaintingModule(**SMALL, lr=0.1, weight_decay=0.1)
    optimizer = module.configure_optimizers()["optimizer"]
    frozen = FrozenDecoder(epochs=1)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    changed = []
    for epoch in (0, 1):
        trainer = SimpleNamespace(current_epoch=epoch)
        module.train()
        frozen.on_train_batch_start(trainer, module, None, 0)
        optimizer.zero_grad()
        module(torch.rand(4, 1, 16, 16), torch.zeros(4, 1, 16, 16)).square().mean().backward()
        frozen.on_before_optimizer_step(trainer, module, optimizer)
        optimizer.step()
        after = module.state_dict()
        changed.append({key.split(".")[1] for key in before if not torch.equal(before[key], after[key])})
        held = {key for key in before if "decoder" in key and torch.equal(before[key], after[key])}
        assert (len(held) == len([key for key in before if "decoder" in key])) == (epoch == 0)
    assert changed == [{"encoder"}, {"encoder", "decoder"}]


def test_a_negative_number_of_epochs_is_refused():
    with pytest.raises(ValueError, match="epochs -1 is no number of epochs"):
        FrozenDecoder(-1)


def test_a_network_without_a_decoder_cannot_have_it_held(monkeypatch):
    module = InpaintingModule(**SMALL)
    monkeypatch.setattr(type(module.network), "decoder_parts", ())
    with pytest.raises(InputError, match="no decoder_parts"):
        FrozenDecoder(1).on_fit_start(SimpleNamespace(), module)

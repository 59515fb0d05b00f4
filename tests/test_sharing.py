import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn

from imcomp.sharing import SyncBatchNorm2d, SyncNorms, mean_over_processes


def test_one_process_alone_keeps_its_mean():
    loss = torch.tensor(0.5, requires_grad=True)

    own, mean = mean_over_processes(loss, torch.tensor(3))

    assert own is loss
    assert (mean.item(), mean.requires_grad) == (0.5, False)


class Others:
    """Stands in for the sums over processes: what the others would add, in the order of asking."""

    def __init__(self, monkeypatch, processes, *added):
        self.added = list(added)
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_world_size", lambda: processes)
        monkeypatch.setattr(dist, "all_reduce", self.all_reduce)

    def all_reduce(self, values):
        values += torch.as_tensor(self.added.pop(0), dtype=values.dtype)


def test_a_mean_is_over_all_pictures(monkeypatch):
    # 3 pictures of loss 1 here, 1 of loss 5 there: 8 / 4 = 2, of which this process's half is 3 / 4 * 2
    Others(monkeypatch, 2, [5.0, 1.0])
    loss = torch.tensor(1.0, requires_grad=True)

    own, mean = mean_over_processes(loss, torch.tensor(3))
    own.backward()

    assert mean.item() == 2
    assert (own.item(), loss.grad.item()) == (1.5, 1.5)  # DDP halves it: 3 / 4 of the whole


@pytest.mark.parametrize(("count", "others", "mean"), [(0, [5.0, 1.0], 5), (0, [0.0, 0.0], 0)])
def test_a_process_without_pictures_adds_nothing(monkeypatch, count, others, mean):
    Others(monkeypatch, 2, others)

    own, whole = mean_over_processes(torch.tensor(0.0), torch.tensor(count))

    assert (own.item(), whole.item()) == (0, mean)


class TestSyncBatchNorm:
    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_among_equals_it_is_batch_norm(self, monkeypatch, momentum):
        torch.manual_seed(0)
        x = torch.randn(4, 3, 5, 5)
        plain = nn.BatchNorm2d(3, momentum=momentum)
        nn.init.uniform_(plain.weight)
        together = SyncNorms().apply(copy.deepcopy(plain))
        assert isinstance(together, SyncBatchNorm2d)
        halves, doubled = x[:2], []
        monkeypatch.setattr("imcomp.sharing.several", lambda: True)
        # both halves are alike, so that every sum over two processes is twice one's own
        monkeypatch.setattr("imcomp.sharing._sum", lambda values: doubled.append(1) or 2 * values)
        both = torch.cat([halves, halves]).requires_grad_()
        half = halves.clone().requires_grad_()

        expected, got = plain(both), together(half)
        expected.square().sum().backward()
        got.square().sum().backward()

        assert torch.allclose(got, expected[:2], atol=1e-6)
        assert torch.allclose(together.running_mean, plain.running_mean, atol=1e-6)
        assert torch.allclose(together.running_var, plain.running_var, atol=1e-6)
        assert together.num_batches_tracked == 1
        assert torch.allclose(half.grad, both.grad[:2], atol=1e-5)
        assert len(doubled) == 4  # two sums there, two back

    def test_it_is_plain_outside_of_training_and_when_alone(self):
        layer = SyncNorms().apply(nn.BatchNorm2d(1))
        x = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)

        assert torch.allclose(layer(x).flatten(), torch.tensor([-1.0, 1.0]), atol=1e-4)
        assert torch.allclose(layer.eval()(x), nn.functional.batch_norm(x, layer.running_mean, layer.running_var))

    def test_it_goes_as_it_came(self):
        network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
        names = [*network.state_dict()]

        SyncNorms().apply(network)
        assert [*network.state_dict()] == names
        SyncNorms().revert(network)

        assert type(network[1]) is nn.BatchNorm2d

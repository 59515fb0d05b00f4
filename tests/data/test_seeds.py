import pytest
import torch

from imcomp.data.seeds import integers, mix_seeds, random_bits, uniform


def splitmix64(*parts):
    """The same mixer in Python's unbounded integers."""
    word = (1 << 64) - 1
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & word
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & word
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & word
        state ^= state >> 31
    return state - (1 << 64) if state >> 63 else state


def test_mix_seeds_is_splitmix64():
    # the first outputs of the published generator, seeded with 0 and with 1234567
    assert mix_seeds(0) == 0xE220A8397B1DCDAF - (1 << 64)
    assert mix_seeds(1234567) == 6457827717110365317


@pytest.mark.parametrize(
    "parts", [(0,), (1,), (-1,), (0, 0), (1, 2, 3), (3, 2, 1), (2**63 - 1, -(2**63)), (7, 1 << 32, 26_639)]
)
def test_mix_seeds_equals_the_mixer_in_python_integers(parts):
    assert mix_seeds(*parts) == splitmix64(*parts)


def test_mix_seeds_depends_on_every_part_and_their_order():
    mixed = [mix_seeds(*parts).item() for parts in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0)]]

    assert len(set(mixed)) == 5


def test_mix_seeds_broadcasts_and_is_pure():
    epochs, index = torch.tensor([[0], [1]]), torch.tensor([0, 5, -3])

    mixed = mix_seeds(42, epochs, index)

    assert mixed.tolist() == [[splitmix64(42, epoch, number) for number in (0, 5, -3)] for epoch in (0, 1)]
    assert mixed.dtype == torch.int64
    assert torch.equal(mixed, mix_seeds(42, epochs, index))
    assert index.tolist() == [0, 5, -3]


def test_mix_seeds_stays_on_the_device_of_its_tensors():
    assert mix_seeds(1, torch.zeros(3, dtype=torch.int64, device="meta"), 2).device.type == "meta"


def test_mix_seeds_spreads_neighbouring_numbers_over_all_bits():
    mixed = mix_seeds(0, 0, torch.arange(100_000))

    assert len(mixed.unique()) == 100_000
    for bit in range(64):
        share = ((mixed >> bit) & 1).float().mean().item()
        assert share == pytest.approx(0.5, abs=0.01), f"bit {bit}"


def test_random_bits_are_the_top_bits_of_mixed_seeds():
    expected = [[(splitmix64(seed, place) % 2**64) >> 40 for place in range(3)] for seed in (5, -1)]

    assert random_bits(torch.tensor([5, -1]), 3).tolist() == expected


def test_the_first_random_bits_do_not_depend_on_how_many_are_drawn():
    seeds = torch.arange(5)

    assert torch.equal(random_bits(seeds, 9)[:, :4], random_bits(seeds, 4))


def test_random_bits_of_no_seeds_are_none():
    assert random_bits(torch.empty(0, dtype=torch.int64), 4).shape == (0, 4)


def test_uniform_goes_from_low_to_high():
    values = uniform(torch.tensor([0, 1 << 22, 1 << 23, (1 << 24) - 1]), 0, 2)

    assert values.tolist() == [0, 0.5, 1, 2 - 2**-23]
    assert values.dtype == torch.float32


def test_integers_are_spread_evenly_from_low_to_high():
    drawn = integers(random_bits(torch.arange(1000), 30), 3, 5)

    assert drawn.unique().tolist() == [3, 4, 5]
    assert (drawn == 3).float().mean().item() == pytest.approx(1 / 3, abs=0.01)


def test_integers_takes_bounds_of_each_seed():
    bits = torch.tensor([0, (1 << 24) - 1])

    assert integers(bits, torch.tensor([1, 2]), torch.tensor([7, 9])).tolist() == [1, 9]

"""The arithmetic of what the hardware allows, on layers that can be counted by hand."""

import pytest
import torch
from torch import nn

from imcomp.benchmark.floor import (
    COPY,
    GROUP,
    PRODUCTS,
    Copy,
    MatrixProduct,
    count_work,
    limit,
    loading_work,
    with_limits,
)
from imcomp.benchmark.readings import Work


def test_a_matrix_product():
    left, right = torch.rand(2, 4), torch.rand(4, 8)
    work = count_work(lambda: left @ right, pictures=2, kind="float32")
    assert work.flops == 2 * 2 * 4 * 8 / 2  # a multiply-add is two
    assert work.moved == 4 * (2 * 4 + 4 * 8 + 2 * 8) / 2


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_a_convolution_and_nothing_beside_it(mode):
    convolution = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with mode():
        image = torch.rand(1, 1, 4, 4)
        work = count_work(lambda: convolution(image).relu() + 1, pictures=1, kind="float32")
    assert work.flops == 2 * 9 * 16
    assert work.moved == 4 * (16 + 9 + 16)


def test_the_way_back_is_counted():
    layer, image = nn.Linear(4, 8, bias=False), torch.rand(2, 4)
    work = count_work(lambda: layer(image).sum().backward(), pictures=2, kind="float32")
    assert work.flops == 2 * 64  # of the weights; the image needs no gradient


def test_bfloat16_moves_half_the_bytes():
    left, right = torch.rand(2, 4), torch.rand(4, 8)
    half = count_work(lambda: left.bfloat16() @ right.bfloat16(), pictures=1, kind="bfloat16")
    assert half.moved == 2 * (2 * 4 + 4 * 8 + 2 * 8)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"float32": 100, "copy": 1000}, 10),  # ten flops a picture at 100 a second
        ({"float32": 1000, "copy": 40}, 2),  # twenty bytes a picture at 40 a second
        ({"bfloat16": 100, "copy": 1000}, None),
        ({"float32": 100}, None),
    ],
)
def test_what_takes_longer_limits(rates, expected):
    assert limit(Work(flops=10, moved=20, kind="float32"), rates) == expected


def test_loading_is_limited_by_memory_alone():
    # 4 pixels, a byte each read, and 4 bytes written: 20 bytes a picture at 40 a second
    assert limit(loading_work(2), {"copy": 40}) == 2
    assert limit(loading_work(2), {"float32": 100}) is None
    assert limit(Work(flops=0, moved=0, kind="float32"), {"copy": 40}) is None


def test_lines_are_limited_by_the_rates_of_their_own_run(line):
    rates = [
        line(PRODUCTS["float32"], 2, quantity="TFLOP/s", group=GROUP),
        line(COPY, 1, quantity="GB/s", group=GROUP),
    ]
    lines = with_limits([*rates, line("imcomp", 5, flops=1e12), line("unknown", 5)])
    assert [found.limit for found in lines] == [None, None, 2, None]


@pytest.mark.parametrize(("task", "unit"), [(MatrixProduct("cpu", "bfloat16"), "TFLOP/s"), (Copy("cpu"), "GB/s")])
@pytest.mark.slow
def test_rates_are_measured(task, unit):
    assert task(0.01).values[unit] > 0

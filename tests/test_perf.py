import re

import pytest
import torch
from torch import nn

from imcomp.errors import InputError
from imcomp.machine import describe_arithmetic, fit_to_machine
from imcomp.module import InpaintingModule
from imcomp.perf import can_fuse, compiled, fastest_precision, find_device, set_arithmetic
from imcomp.training import train

QUICK = ("callbacks.progress=null",)


@pytest.fixture(autouse=True)
def _settings_are_put_back():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
    torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({}, "32-true"),
        ({"avx512_f": True, "avx2": True}, "32-true"),
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bf16-mixed"),
    ],
)
def test_a_cpu_must_multiply_bfloat16_itself(monkeypatch, has, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert fastest_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed"), ((10, 0), "bf16-mixed")]
)
def test_an_nvidia_card_must_be_ampere_or_later(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fastest_precision(torch.device("cuda")) == expected


def test_others_compute_in_float32():
    assert fastest_precision(torch.device("mps")) == "32-true"


@pytest.mark.parametrize(
    ("accelerator", "there", "expected"),
    [
        ("auto", None, "cpu"),
        ("gpu", None, "cpu"),  # Lightning says that there is none
        ("auto", "cuda", "cuda"),
        ("gpu", "mps", "mps"),
        ("mps", "mps", "mps"),
        ("cpu", "cuda", "cpu"),
        ("tpu", "cuda", "cpu"),
    ],
)
def test_the_device_is_the_trainers(monkeypatch, accelerator, there, expected):
    device = torch.device(there) if there else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: device)
    assert find_device(accelerator) == torch.device(expected)


def test_a_fused_step_is_found_out():
    assert can_fuse(torch.device("cpu"))
    assert not can_fuse(torch.device("meta"))


@pytest.mark.parametrize("on", [True, False])
def test_arithmetic_is_set_for_the_process(on):
    set_arithmetic(tf32=on, flush_denormal=on)

    assert torch.get_float32_matmul_precision() == ("high" if on else "highest")
    assert torch.backends.cudnn.allow_tf32 is on
    assert (torch.tensor(1e-39) * 1 == 0).item() is on


class TestFitToMachine:
    @pytest.fixture(autouse=True)
    def _with_bfloat16(self, monkeypatch):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})

    @pytest.mark.parametrize(
        ("overrides", "words"),
        [
            (["perf=default"], "bf16-mixed, channels last, fused Adam"),
            (["perf=plain"], "32-true, channels last, Adam"),
            (
                ["perf=default", "trainer.precision=32-true", "model.optimizer=adamw"],
                "32-true, channels last, fused AdamW",
            ),
            (["perf=default", "perf.channels_last=false", "perf.compile=true"], "bf16-mixed, fused Adam, compiled"),
            (["perf=default", "trainer.gradient_clip_val=1"], "bf16-mixed, channels last, fused Adam"),
            (
                ["perf=default", "perf.precision=16-mixed", "trainer.gradient_clip_val=1"],
                "16-mixed, channels last, Adam",
            ),
        ],
    )
    def test_what_is_chosen(self, train_config, tmp_path, overrides, words):
        cfg = train_config(tmp_path, *overrides)
        before = cfg.copy()

        assert describe_arithmetic(fit_to_machine(cfg)) == words
        assert cfg == before  # and the config that is kept still says `auto`

    @pytest.mark.parametrize("device", ["without bfloat16", "without a fused step"])
    def test_what_the_machine_lacks_is_left_out(self, train_config, tmp_path, monkeypatch, device):
        cfg = train_config(tmp_path, "perf=default")
        if device == "without bfloat16":
            monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
            assert describe_arithmetic(fit_to_machine(cfg)) == "32-true, channels last, fused Adam"
        else:
            monkeypatch.setattr("imcomp.machine.can_fuse", lambda device: False)
            assert describe_arithmetic(fit_to_machine(cfg)) == "bf16-mixed, channels last, Adam"

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("perf.compile=maybe", "perf.compile=maybe is a str; expected bool"),
            ("+perf.turbo=true", "unknown key perf.turbo"),
            ("perf.precision=half", "trainer.precision=half is a str; expected"),
        ],
    )
    def test_a_mistake_is_told(self, train_config, tmp_path, override, message):
        with pytest.raises(InputError, match=re.escape(message)):
            train(train_config(tmp_path, *QUICK, override))

    @pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
    @pytest.mark.parametrize("fused", [True, False])
    def test_gradients_are_clipped_however_the_optimiser_works(
        self, train_config, tmp_path, monkeypatch, precision, fused
    ):
        norms = []

        def measure(self, *_):
            norms.append(float(torch.nn.utils.get_total_norm(p.grad for p in self.parameters())))

        monkeypatch.setattr(InpaintingModule, "on_train_batch_end", measure)
        options = (f"perf.precision={precision}", f"perf.fused={fused}", "trainer.gradient_clip_val=1e-3")
        train(train_config(tmp_path, *QUICK, "perf=default", *options, "trainer.max_epochs=1"))

        assert norms == pytest.approx([1e-3] * len(norms), rel=1e-3)
        assert norms


class TestCompile:
    """With a backend that runs the graph as it is; what compiles it for a processor takes its time."""

    @pytest.fixture
    def backend(self, monkeypatch):
        def use(backend):
            compile_ = nn.Module.compile
            monkeypatch.setattr(nn.Module, "compile", lambda network: compile_(network, backend=backend))

        yield use
        torch.compiler.reset()

    def test_all_goes_on_as_without(self, train_config, tmp_path, backend):
        graphs = []
        backend(lambda graph, inputs: graphs.append(graph) or graph.forward)
        options = ("callbacks=ema", "data.test_fraction=0.1", "logger=default")

        plain = train(train_config(tmp_path, *QUICK, *options, run="plain"))
        assert graphs == []
        metrics = train(train_config(tmp_path, *QUICK, *options, "perf.compile=true"))

        assert graphs
        for name in ("val/mse", "test/mse"):
            assert metrics[name] == pytest.approx(plain[name], rel=1e-3)
        saved, uncompiled = (
            torch.load(tmp_path / run / "checkpoints" / "best.ckpt", weights_only=True) for run in ("run", "plain")
        )
        assert saved["state_dict"].keys() == uncompiled["state_dict"].keys()
        assert saved["current_model_state"].keys() == uncompiled["current_model_state"].keys()

    def test_a_compiler_that_fails_is_told_in_one_line(self, train_config, tmp_path, backend):
        def fail(graph, inputs):
            raise RuntimeError("no compiler\nin many lines")

        backend(fail)

        with pytest.raises(
            InputError, match=r"^the network cannot be compiled here .*; give perf\.compile=false"
        ) as caught:
            train(train_config(tmp_path, *QUICK, "perf.compile=true", "logger=csv"))

        assert "no compiler" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_other_errors_are_let_through(self, backend):
        backend("eager")
        with pytest.raises(ZeroDivisionError), compiled(nn.Linear(2, 2)):
            raise ZeroDivisionError

    @pytest.mark.slow
    def test_for_this_processor(self, train_config, tmp_path):
        plain = train(train_config(tmp_path, *QUICK, run="plain"))
        metrics = train(train_config(tmp_path, *QUICK, "perf.compile=true"))

        assert metrics["val/mse"] == pytest.approx(plain["val/mse"], rel=1e-3)

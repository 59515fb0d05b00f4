import pytest

from imcomp.errors import InputError
from imcomp.machine import fit_to_machine


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", "64", "transformer-engine"])
def test_weights_that_are_not_float32_are_refused(train_config, tmp_path, precision):
    with pytest.raises(InputError, match=f"perf.precision={precision} trains no network here") as caught:
        fit_to_machine(train_config(tmp_path, f"perf.precision='{precision}'"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", ["32-true", "32", "bf16-mixed", "16-mixed"])
def test_others_are_taken(train_config, tmp_path, precision):
    cfg = fit_to_machine(train_config(tmp_path, f"perf.precision='{precision}'"))
    assert str(cfg.trainer.precision) == precision


@pytest.mark.parametrize("length", ["-1", "nan"])
def test_a_length_that_no_gradient_has_is_refused(train_config, tmp_path, length):
    with pytest.raises(InputError, match=rf"gradient_clip_val={length} is no length; give a number above 0, or null"):
        fit_to_machine(train_config(tmp_path, f"trainer.gradient_clip_val={length}"))

import pytest
import torch
from omegaconf import OmegaConf

from imcomp.errors import InputError
from imcomp.seeding import draw_seed, read_seed
from imcomp.training import train

QUIET = ("logger=csv", "callbacks.progress=null")


def test_it_is_said_and_kept_and_repeats_the_run(train_config, tmp_path, caplog):
    caplog.set_level("INFO")
    cfg = train_config(tmp_path, *QUIET, "seed=null")

    metrics = train(cfg)

    seed = OmegaConf.load(tmp_path / "run" / "config.yaml").seed
    assert f"seed={seed} was drawn" in caplog.text
    assert cfg.seed is None
    again = train(train_config(tmp_path, *QUIET, f"seed={seed}", run="again"))
    assert {**again, "seconds": 0} == {**metrics, "seconds": 0}
    saved = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["datamodule_hyper_parameters"]["seed"] == seed


def test_runs_draw_different_ones():
    assert len({draw_seed() for _ in range(8)}) > 1


def test_a_run_that_is_resumed_keeps_its_own(train_config, tmp_path):
    train(train_config(tmp_path, *QUIET, "seed=null", "trainer.max_epochs=1"))
    seed = OmegaConf.load(tmp_path / "run" / "config.yaml").seed

    train(train_config(tmp_path, *QUIET, "seed=null", f"resume={tmp_path}/run/checkpoints/last.ckpt"))

    assert OmegaConf.load(tmp_path / "run" / "config.yaml").seed == seed


def test_a_checkpoint_that_does_not_tell_is_told(tmp_path):
    torch.save({"state_dict": {}, "hyper_parameters": {}}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"a\.ckpt does not tell its seed; give seed=NUMBER"):
        read_seed(tmp_path / "a.ckpt")

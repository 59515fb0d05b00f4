"""What of a trial's config is its own."""

import pytest
from hydra import initialize_config_dir

from imcomp.cli import config_dir
from imcomp.sweeps.summary import changes_of


@pytest.fixture(autouse=True)
def _hydra():
    with initialize_config_dir(str(config_dir())):
        yield


def test_what_the_sweep_itself_does_is_left_out():
    assert changes_of(["sweep=optuna"], "train") == ({}, {})


def test_values_and_options_are_told_apart():
    overrides = ["sweep=optuna", "model.lr=0.5", "model/scheduler=cosine", "data=gtsrb", "paths.outputs=elsewhere"]
    changes, choices = changes_of([*overrides, "trainer.limit_train_batches=0.5"], "train")
    assert changes == {"model": {"lr": 0.5}, "trainer": {"limit_train_batches": 0.5}}
    assert choices == {"data": "gtsrb", "model/scheduler": "cosine"}


def test_what_another_parent_brings_along_is_no_default():
    overrides = ["sweep=optuna", "model=autoencoder", "model/scheduler=onecycle"]  # the default network's schedule
    assert changes_of(overrides, "train") == ({}, {"model": "autoencoder", "model/scheduler": "onecycle"})


def test_what_was_left_out_is_null():
    changes, _ = changes_of(["sweep=optuna", "~callbacks.early_stopping", "~logger.csv"], "train")
    assert changes == {"callbacks": {"early_stopping": None}, "logger": {"csv": None}}


def test_an_experiment_is_spelled_out():
    changes, choices = changes_of(["sweep=optuna", "experiment=reference", "model.channels=[8,16]"], "train")
    assert choices["model"] == "autoencoder"
    assert choices["callbacks"] == "default"
    assert changes["model"] == {"channels": [8, 16], "context": None}
    assert changes["trainer"]["max_epochs"] == 100

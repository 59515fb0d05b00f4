"""What is found before the first trial."""

import optuna
import pytest
from hydra import compose, initialize_config_dir
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.hydra_study_sweeper import open_storage
from imcomp.cli import config_dir
from imcomp.errors import InputError
from imcomp.sweeps.space import check_space, corners

LR = {"model.lr": FloatDistribution(1e-4, 1e-2, log=True)}


@pytest.fixture
def study():
    return optuna.create_study(study_name="s")


def job(params):
    with initialize_config_dir(str(config_dir())):
        overrides = [f"{key}={value}" for key, value in params.items()]
        return compose("train", ["sweep=optuna", *overrides], return_hydra_config=True)


def test_corners_hold_every_choice_and_bound():
    space = {
        "a": CategoricalDistribution([1, 2, 3]),
        "b": IntDistribution(4, 9),
        "c": CategoricalDistribution(["x"]),
    }
    assert [*corners(space)] == [{"a": 1, "b": 4, "c": "x"}, {"a": 2, "b": 9, "c": "x"}, {"a": 3, "b": 4, "c": "x"}]


def test_a_good_space_is_passed_and_its_settings_are_remembered(study):
    check_space(study, LR, ["sweep=optuna", "paths.data=x"], job)
    assert study.user_attrs["settings"] == ["sweep=optuna"]


@pytest.mark.parametrize(
    ("key", "choices", "words"),
    [
        ("model.lr", [0.1, -1.0], "lr=-1.0 is not a rate"),
        ("model.lr", [0.1, "fast"], "model.lr=fast is a str; expected float"),
        ("data.size", [256, 250], "data.size=250 is not a multiple of 16"),
        ("data.batch_size", [32, 0], "data.batch_size=0"),
        ("model.channels", ["[4,8]", "[]"], "channels"),
        ("model/scheduler", ["constant", "cosine-ish"], "cosine-ish"),
        ("trainer.max_epochs", [5, "many"], "trainer.max_epochs=many is a str"),
        (
            "objectives",
            ["[val/mse]", "[val/mes]"],
            "objectives=val/mes is not measured; choose from latency, params, val",
        ),
        ("objectives", ["[val/mse]", "[val/mse,params]"], "the study has 1 directions"),
        ("objectives", ["[val/mse]", "val/mse"], "objectives=val/mse is a str; expected list[str]"),
        ("seed", [1, -5], "seed=-5 is out of range"),
        ("callbacks.early_stopping.patience", [3, "many"], "callbacks.early_stopping.patience=many is a str"),
        ("callbacks.top.keep", [0, -1], "keep -1 and disk_gb None are no bounds"),
    ],
)
def test_a_value_that_cannot_be_is_told(study, key, choices, words):
    with pytest.raises(Exception, match=r"^(?!.*Traceback)") as raised:
        check_space(study, {key: CategoricalDistribution(choices)}, [], job)
    assert words in str(raised.value)


def test_other_settings_or_choices_are_another_study(study):
    space = {**LR, "data.batch_size": CategoricalDistribution([16, 32])}
    check_space(study, space, ["seed=1"], job)
    study.tell(study.ask(space), 0.5)
    check_space(study, {**space, "model.lr": FloatDistribution(1e-5, 1e-1, log=True)}, ["seed=1", "paths.data=y"], job)
    with pytest.raises(InputError, match=r"begun with other settings \(seed=1, seed=2\)"):
        check_space(study, space, ["seed=2"], job)
    with pytest.raises(InputError, match=r"begun with other settings \(data.batch_size\)"):
        check_space(study, {**space, "data.batch_size": CategoricalDistribution([16, 64])}, ["seed=1"], job)


@pytest.mark.parametrize(
    ("objectives", "directions", "wanted"),
    [
        (["val/psnr"], ["minimize"], "maximize"),
        (["val/mse"], ["maximize"], "minimize"),
        (["val/accuracy", "params"], ["maximize", "maximize"], r"\[maximize,minimize\]"),
    ],
)
def test_a_study_that_would_choose_the_worst_is_refused(objectives, directions, wanted):
    study, fixed = optuna.create_study(study_name="s", directions=directions), f"objectives=[{','.join(objectives)}]"
    study.set_user_attr("settings", [fixed])
    with pytest.raises(InputError, match=rf"; give hydra\.sweeper\.direction={wanted}, with another .*study_name$"):
        check_space(study, LR, [fixed], lambda params: job({**params, "objectives": f"[{','.join(objectives)}]"}))


@pytest.mark.parametrize(
    ("objectives", "wanted"), [("[val/psnr]", "maximize"), ("[val/mse,params]", r"\[minimize,...\] with one for each")]
)
def test_a_mistaken_first_start_leaves_no_study_behind(tmp_path, objectives, wanted):
    storage = open_storage(str(tmp_path / "study.journal"))
    study = optuna.create_study(study_name="s", storage=storage)
    with pytest.raises(InputError, match=rf"; give hydra\.sweeper\.direction={wanted}$"):
        check_space(study, LR, [], lambda params: job({**params, "objectives": objectives}))
    assert optuna.get_all_study_names(storage) == []

"""Going on with an earlier run, and shorter ways to write keys."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from imcomp.cli import config_dir
from imcomp.errors import InputError
from imcomp.overrides import (
    add_loss_terms,
    default_sweep,
    expand_rerun,
    expand_resume,
    prediction_arguments,
    runs_as_list,
    stored_command,
)


@pytest.fixture
def make_run(tmp_path):
    """A run's folder as a run leaves it."""

    def made(name="outputs/train/now", overrides=("model.lr=0.1",)):
        run = tmp_path / name
        (run / "checkpoints").mkdir(parents=True)
        (run / ".hydra").mkdir()
        OmegaConf.save(OmegaConf.create([*overrides]), run / ".hydra" / "overrides.yaml")
        for file in ("last.ckpt", "best.ckpt"):
            (run / "checkpoints" / file).touch()
        return run

    return made


def parsed(arguments):
    """Keys and values as Hydra reads them; the last of a key wins."""
    overrides = OverridesParser.create().parse_overrides(arguments)
    return {override.get_key_element().lstrip("+~"): override.value() for override in overrides}


def resume(value):
    """As a shell hands it over, quoted for Hydra."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"resume='{escaped}'"


@pytest.mark.parametrize("name", ["outputs/train/now", "a b/c d", "it's", 'a "b"', "a=b,c", "run (2) [x]", "α"])
def test_a_folder_of_any_name_is_gone_on_with(make_run, name):
    run = make_run(name)
    assert parsed(expand_resume([resume(run), "trainer.max_epochs=9"])) == {
        "model.lr": 0.1,
        "trainer.max_epochs": 9,
        "resume": str(run / "checkpoints" / "last.ckpt"),
        "hydra.run.dir": str(run),
    }


def test_an_unquoted_folder_with_a_space(make_run):
    run = make_run("a b")
    assert parsed(expand_resume([f"resume={run}"]))["resume"] == str(run / "checkpoints" / "last.ckpt")


def test_a_file_of_a_run_is_gone_on_with(make_run):
    run = make_run()
    checkpoint = run / "checkpoints" / "best.ckpt"
    expanded = parsed(expand_resume([resume(checkpoint)]))
    assert (expanded["resume"], expanded["hydra.run.dir"]) == (str(checkpoint), str(run))


@pytest.mark.parametrize("outputs", ["outputs", "elsewhere", "else where"])
def test_the_last_run(make_run, tmp_path, monkeypatch, outputs):
    monkeypatch.chdir(tmp_path)
    run = make_run(f"{outputs}/train/now")
    (tmp_path / outputs / "latest").symlink_to("train/now")
    arguments = ["resume=last"] if outputs == "outputs" else ["resume=last", f"paths.outputs='{outputs}'"]
    assert parsed(expand_resume(arguments))["hydra.run.dir"] == str(run)


@pytest.mark.parametrize(
    ("stored", "now", "expected"),
    [
        (["model.lr=1", "seed=2"], ["seed=3"], ["model.lr=1", "seed=3"]),
        (["data=folder", "data.root=a"], ["data.root=b"], ["data=folder", "data.root=b"]),
        (["+trainer.x=1"], ["+trainer.x=2"], ["+trainer.x=2"]),
        (["+trainer.x=1"], ["trainer.x=2"], ["+trainer.x=1", "trainer.x=2"]),  # what was added is changed
        (["model.lr=1"], ["~model.lr"], ["~model.lr"]),
        (["~callbacks.graph"], [], ["~callbacks.graph"]),
        (["resume=a", "init=b", "seed=1"], [], ["seed=1"]),
        (["seed=1"], ["--cfg", "job"], ["seed=1", "--cfg", "job"]),
    ],
)
def test_what_is_given_now_wins(make_run, stored, now, expected):
    run = make_run(overrides=stored)
    assert expand_resume([*now, resume(run)])[:-2] == expected


def test_the_result_composes(make_run):
    run = make_run(overrides=["+trainer.overfit_batches=1", "data=folder", "data.root='a b'"])
    with initialize_config_dir(str(config_dir())):
        cfg = compose("train", expand_resume([resume(run), "trainer.overfit_batches=2"])[:-1])
    assert (cfg.data.root, cfg.trainer.overfit_batches) == ("a b", 2)
    assert cfg.resume == str(run / "checkpoints" / "last.ckpt")


def test_a_checkpoint_in_no_run_starts_a_new_one(tmp_path):
    checkpoint = tmp_path / "some.ckpt"
    checkpoint.touch()
    assert expand_resume(["seed=1", resume(checkpoint)]) == ["seed=1", f"resume='{checkpoint}'"]


@pytest.mark.parametrize(
    "arguments", [[], ["seed=1"], ["resume=null"], ["resume="], ["-m", "resume=last"], ["resume=last", "--multirun"]]
)
def test_all_else_is_left_as_it_is(arguments):
    assert expand_resume(arguments) == arguments


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("last", "resume=last: there is no last run at outputs/latest; give resume=PATH of a run's folder"),
        ("nowhere", "resume=nowhere: no checkpoint nowhere; give a run's folder or a .ckpt file"),
        ("empty", "resume=empty: no checkpoint empty/checkpoints/last.ckpt; give a run's folder or a .ckpt file"),
    ],
)
def test_nothing_to_resume(tmp_path, monkeypatch, value, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as raised:
        expand_resume([f"resume={value}"])
    assert str(raised.value) == words


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m"],
        ["--multirun", "model=fast", "--cfg", "job"],
        ["-m", "model.lr=interval(0,1)"],
        ["-m", "seed=1,2", "model.lr=tag(log, interval(1e-5, 1e-2))"],
        ["-m", "hydra.sweeper.n_trials=5", "--config-dir=x"],
    ],
)
def test_m_without_a_grid_is_the_default_sweep(arguments):
    assert default_sweep(arguments) == [*arguments, "sweep=optuna"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["model.lr=1"],
        ["-m", "seed=1,2"],
        ["-m", "seed=range(1,3)", "model=choice(fast,unet)", "data.size=64"],
        ["-m", "sweep=optuna", "seed=1"],
        ["-m", "hydra/sweeper=basic"],
    ],
)
def test_a_grid_and_a_named_sweep_are_left_as_they_are(arguments):
    assert default_sweep(arguments) == arguments


def predicted(*arguments):
    with initialize_config_dir(str(config_dir())):
        return compose("predict", prediction_arguments([*arguments]))


@pytest.mark.parametrize(
    "name",
    [
        "a b.png",
        "a,b (1).png",
        "[a].png",
        "{a}",
        "a=b",
        "it's",
        'say "a"',
        "new\nline",
        "#1",
        "α β",
        "a\\b",
        "100%",
        "*.png",
        "a'",
    ],
)
def test_names_are_taken_as_they_stand(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    cfg = predicted(f"input={name}", f"mask={name}", f"output={name}", f"ckpt={name}")
    assert {cfg.input, cfg.mask.file, cfg.output, cfg.ckpt} == {name}


def test_what_looks_like_an_interpolation_is_a_name_where_a_file_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "${seed}.png").touch()
    assert predicted("input=${seed}.png").input == "${seed}.png"
    assert predicted("input=a.png", "output=${seed}x").output == "0x"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("input=a.png,b c.png", ["a.png", "b c.png"]),
        ("input=[a.png,b.png]", ["a.png", "b.png"]),
        ("input=photos/*.{png,jpg}", "photos/*.{png,jpg}"),
        ('input="photos/**/*.jpg"', "photos/**/*.jpg"),
        ("input='a b'", "a b"),
    ],
)
def test_several_inputs_and_quoted_ones(argument, expected):
    assert predicted(argument).input == expected


def test_colours_and_flags():
    cfg = predicted("input=a", "mask.color=#ff00ff", "mask.tolerance=5", "--dry", "mask.options={size: 9}")
    assert (cfg.mask.color, cfg.mask.tolerance, cfg.dry, cfg.mask.options.size) == ("#ff00ff", 5, True, 9)
    assert predicted("input=a", "mask=null").mask.file is None


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], {"mse": (1.0, {"known": 0.0})}),
        (["loss.mse=2"], {"mse": (2, {"known": 0.0})}),
        (["loss.l1=0.5"], {"mse": (1.0, {"known": 0.0}), "l1": (0.5, {})}),
        (["loss=l1", "loss.ssim=1", "loss.ssim.window=7"], {"l1": (1.0, {"known": 0.0}), "ssim": (1, {"window": 7})}),
        (["loss.l1={weight: 3, known: 1}"], {"mse": (1.0, {"known": 0.0}), "l1": (3, {"known": 1})}),
        (["loss=[l1,charbonnier]", "~loss.l1"], {"charbonnier": (1.0, {"epsilon": 1e-3, "known": 0.0})}),
    ],
)
def test_parts_of_the_loss_are_added_and_weighed(arguments, wanted):
    with initialize_config_dir(str(config_dir())):
        loss = OmegaConf.to_container(compose("train", add_loss_terms(arguments)).loss)

    assert {name: (options.pop("weight"), options) for name, options in loss.items()} == wanted


class TestRepeatedCommand:
    def test_the_folder_is_named_by_the_command(self):
        first, again, other = (
            expand_resume([*command, "resume=auto"]) for command in (["model.lr=1"], ["model.lr=1"], ["model.lr=2"])
        )

        assert first == again
        assert first[:2] == ["model.lr=1", "resume=auto"]
        assert first[2].startswith("hydra.run.dir=${paths.outputs}/train/auto-")
        assert first[2] != other[2]

    @pytest.mark.parametrize(
        ("environ", "name"),
        [
            ({"SLURM_JOB_ID": "7"}, "slurm-7"),
            ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, "slurm-7_2"),
        ],
    )
    def test_or_by_the_job(self, monkeypatch, environ, name):
        for key, value in environ.items():
            monkeypatch.setenv(key, value)

        assert expand_resume(["resume=auto"])[-1] == f"hydra.run.dir=${{paths.outputs}}/train/{name}"
        assert expand_resume(["-m", "resume=auto"])[-1] == f"hydra.sweep.dir=${{paths.outputs}}/multirun/{name}"

    @pytest.mark.parametrize("given", ["hydra.run.dir=here", "paths.output_dir=here"])
    def test_or_as_given(self, given):
        assert expand_resume(["resume=auto", given]) == ["resume=auto", given]


class TestRerun:
    def test_all_that_the_run_was_started_with(self, make_run):
        run = make_run(overrides=("model.lr=0.1", "init=a.ckpt", "resume=b", "+trainer.precision=16"))

        assert expand_rerun([f"rerun={run}", "seed=1"]) == [
            *("model.lr=0.1", "init=a.ckpt", "+trainer.precision=16", "seed=1", f"rerun='{run}'"),
        ]

    def test_what_is_given_now_comes_on_top(self, make_run):
        assert parsed(expand_rerun([f"rerun={make_run()}", "model.lr=0.2"]))["model.lr"] == 0.2

    def test_the_last_one(self, make_run, monkeypatch, tmp_path):
        run = make_run()
        (tmp_path / "outputs" / "latest").symlink_to(run)
        monkeypatch.chdir(tmp_path)

        assert parsed(expand_rerun(["rerun=last"])) == {"model.lr": 0.1, "rerun": str(run)}

    def test_the_folder_of_the_first_run_is_not_written_into(self, make_run):
        run = make_run(overrides=("paths.output_dir=there", "seed=1"))

        assert expand_rerun([f"rerun={run}"]) == ["seed=1", f"rerun='{run}'"]
        assert "paths.output_dir=here" in expand_rerun([f"rerun={run}", "paths.output_dir=here"])

    @pytest.mark.parametrize("content", [b"", b"- [", b"a: b", b"\xff"])
    def test_a_damaged_run_is_refused(self, make_run, content):
        run = make_run()
        (run / ".hydra" / "overrides.yaml").write_bytes(content)

        for expand, argument in ((expand_rerun, f"rerun={run}"), (expand_resume, f"resume={run}")):
            with pytest.raises(InputError, match=r"overrides\.yaml is damaged \(.+\); mend it, or give .*$") as raised:
                expand([argument])
            assert "\n" not in str(raised.value)

    def test_no_run_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="tells no command"):
            expand_rerun([f"rerun={tmp_path}"])

    def test_nothing_is_left_as_it_is(self):
        assert expand_rerun(["model.lr=1", "rerun=null"]) == ["model.lr=1", "rerun=null"]


def test_folders_without_a_key_are_runs():
    assert parsed(runs_as_list(["a b", "c", "output=d.md"])) == {"runs": ["a b", "c"], "output": "d.md"}
    assert runs_as_list(["--help"]) == ["--help"]


def test_the_command_of_a_run_without_the_folders_of_its_machine(make_run):
    run = make_run(
        overrides=(
            *(
                "experiment=fast",
                "data.root=/home/somebody/data",
                "paths.outputs=/tmp/out",
                "data.cache_dir=/tmp/cache",
            ),
            *("model.channels=[4,8]", "init=gtsrb-fast", "hydra.run.dir=/tmp/run", "+trainer.limit_val_batches=2"),
        )
    )
    command = "python train.py experiment=fast data.root=PATH 'model.channels=[4,8]' init=gtsrb-fast"
    assert stored_command(run / "checkpoints" / "best.ckpt") == f"{command} +trainer.limit_val_batches=2"


def test_a_checkpoint_that_lies_in_no_runs_folder_has_no_command(tmp_path):
    assert stored_command(tmp_path / "best.ckpt") is None

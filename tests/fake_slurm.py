"""A SLURM of one machine, as far as submitit asks for one: run as ``sbatch``, ``srun``, ``sacct`` or ``scontrol``.

Its state is in the folder that FAKE_SLURM names: what was submitted, the process of each task, and which tasks were
queued again. A task that was is run again when it ends, as SLURM does.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

JOB = "1000"


def sbatch(state, script):
    """Start every task of the array, each on its own."""
    text = Path(script).read_text()
    shutil.copy(script, state / "submitted.sh")
    last = int(re.findall(r"--array=0-(\d+)", text)[0])
    for task in range(last + 1):
        command, null = [sys.executable, __file__, "task", script, str(task)], subprocess.DEVNULL
        # not on our own output, to whose end submitit reads
        subprocess.Popen(command, start_new_session=True, stdout=null, stderr=null)
    print(f"Submitted batch job {JOB}")


def task(state, script, number):
    """Run one task, and again as long as it queues itself again."""
    name = f"{JOB}_{number}"
    own = {"SLURM_JOB_ID": str(int(JOB) + 1 + int(number)), "SLURM_ARRAY_JOB_ID": JOB, "SLURM_ARRAY_TASK_ID": number}
    own |= {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    own |= {"SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "localhost"}
    requeued = state / f"requeue-{name}"
    output = re.findall(r"--output=(\S+)/", Path(script).read_text())[0].replace("%A", JOB).replace("%a", number)
    for _ in range(3000):  # a minute
        if [*Path(output).glob("*_submitted.pkl")]:  # submitit puts it there when `sbatch` has told it the number
            break
        time.sleep(0.02)
    while True:
        with (state / f"{name}.log").open("a") as log:
            subprocess.run(["bash", script], env={**os.environ, **own}, stdout=log, stderr=log, check=False)
        if not requeued.exists():
            return
        requeued.rename(state / f"requeued-{name}")


def srun(state, *arguments):
    """Become what is to be run."""
    arguments = list(arguments)
    while arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option in ("--output", "--error"):
            path = arguments.pop(0).replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
            path = path.replace("%A", JOB).replace("%a", os.environ["SLURM_ARRAY_TASK_ID"])
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if option == "--output" else 2)
    (state / f"pid-{JOB}_{os.environ['SLURM_ARRAY_TASK_ID']}").write_text(str(os.getpid()))
    os.execvp(arguments[0], arguments)  # noqa: S606  # no shell is wanted


def sacct(state, *_):
    """Know of nothing: submitit then waits for the task's own result."""
    print("JobID|State|NodeList")


def scontrol(state, verb, name):
    """Note what is to be queued again."""
    (state / f"{verb}-{name}").touch()


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), *sys.argv[2:])

"""The stop button of Jupyter, with a real SIGINT to a kernel: a sentence, and a kernel that goes on."""

import time

import pytest

pytestmark = pytest.mark.notebook

OPEN = """from effwb import Point, Study, sweep
settings = dict(steps=200, problems_per_round=2, group_size=4, n_problems=8, save_every=200)
options = dict(run_root={root!r}, figures_dir={root!r}, training=settings, max_tokens=48)
study = Study.open("pocket", n_problems=64, n_samples=2, **options)
point = Point("kimi")"""


class Kernel:
    """A kernel in which cells are run, and stopped at a moment."""

    def __init__(self):
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, code, stop_when=None, seconds=120):
        """Run a cell; returns its outputs as messages' (type, content)."""
        request, outputs, stopped = self.client.execute(code), [], False
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if stop_when is not None and not stopped and stop_when():
                self.manager.interrupt_kernel()
                stopped = True
            try:
                message = self.client.get_iopub_msg(timeout=0.02)
            except Exception as error:  # queue.Empty
                if type(error).__name__ != "Empty":
                    raise
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return outputs
            outputs.append((kind, content))
        raise AssertionError(f"the cell did not end: {outputs}")

    def error_of(self, code, stop_when):
        errors = [content for kind, content in self.run(code, stop_when) if kind == "error"]
        assert len(errors) == 1
        return errors[0]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    root = tmp_path_factory.mktemp("kernel")
    kernel = Kernel()
    assert not [o for o in kernel.run(OPEN.format(root=str(root))) if o[0] == "error"]
    yield kernel, root / "pocket"
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=True)


def lines_of(file):
    return file.read_text().count("\n") if file.exists() else 0


@pytest.mark.long
def test_stopped_in_training_and_in_an_evaluation(kernel):
    shell, root = kernel
    metrics = root / "kimi-seed0/train/metrics.jsonl"
    cell = "study.train([point], base=False)"
    error = shell.error_of(cell, lambda: lines_of(metrics) >= 2)
    step = lines_of(metrics)
    message = f"run 1 of 1: kimi, seed 0: interrupted at step {step}; the next run continues from step {step}"
    assert (error["ename"], error["traceback"]) == ("Interrupted", [message])

    error = shell.error_of(cell, lambda: lines_of(metrics) > step)  # it goes on, and is stopped again
    assert f"interrupted at step {lines_of(metrics)}" in error["traceback"][0]
    assert lines_of(metrics) > step

    shard = root / "base-seed0/eval/probes/00000.parquet"
    error = shell.error_of("study.evaluate()", shard.exists)
    assert error["traceback"] == [
        "evaluation of eval: interrupted at 32 of 64 problems; they are kept, and the next run continues "
        "there"
    ]
    outputs = shell.run("1 + 1")
    assert [content["data"] for kind, content in outputs if kind == "execute_result"] == [{"text/plain": "2"}]


@pytest.mark.slow
def test_a_sweep_is_stopped_with_its_children(kernel, tmp_path):
    import nbformat
    import psutil

    from tests.cli.test_interrupts import PARAMETERS, WORK

    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, WORK)]
    cells[0].metadata["tags"] = ["parameters"]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), tmp_path / "tiny.ipynb"
    )
    shell, _ = kernel
    place = f"{str(tmp_path / 'tiny.ipynb')!r}, {{'number': [1, 2]}}, {str(tmp_path / 'out')!r}"
    cell = f"sweep.run({place}, jobs=2)"
    others, children = set(psutil.Process(shell.manager.provisioner.pid).children(recursive=True)), set()

    def both_run():
        children.update(psutil.Process(shell.manager.provisioner.pid).children(recursive=True))
        return len(list(tmp_path.glob("out/*/runs/began"))) == 2

    def has_ended(process):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    error = shell.error_of(cell, both_run)
    assert error["traceback"] == [
        "interrupted: 0 of 2 points are done; run the same sweep again, and the points that were stopped "
        "continue"
    ]
    assert len(children - others) >= 4  # two points, each with its kernel
    end = time.monotonic() + 10
    while not all(map(has_ended, children - others)):
        assert time.monotonic() < end, "a point is left behind"
        time.sleep(0.1)

"""A descent that was stopped goes on with the same bits; files that are not this descent's are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import fields

import jax
import numpy as np
import pytest

import augscope as ag
from augscope.training import checkpoint as checkpoint_module

STEPS, RECORDS = 60, (0, 7, 20, 41, 60)
METHODS = [ag.Erm(), ag.Cutout(), ag.CutMix()]


@pytest.fixture
def dataset(distribution) -> ag.Dataset:
    return ag.sample_dataset(jax.random.key(3), distribution, num_samples=6, init_std=0.1)


def descend(dataset, network, method, *, num_steps=STEPS, record_at=RECORDS, **options) -> ag.Run:
    return ag.train(dataset, network, method, step_size=0.5, num_steps=num_steps, record_at=record_at, **options)


def assert_same_bits(one: ag.Run, other: ag.Run) -> None:
    np.testing.assert_array_equal(one.weights, other.weights)
    for field in fields(one.history):
        np.testing.assert_array_equal(getattr(one.history, field.name), getattr(other.history, field.name))
    assert (one.status, one.message, one.num_steps) == (other.status, other.message, other.num_steps)


def interrupt_at(step: int):
    def progress(now, _):
        if now >= step:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.title)
@pytest.mark.parametrize("stop_at", [1, 9, 41])
def test_an_interrupted_run_goes_on_with_the_same_bits(tmp_path, dataset, network, method, stop_at):
    path = tmp_path / "run.npz"
    cut = descend(dataset, network, method, checkpoint=path, progress=interrupt_at(stop_at))
    assert cut.status == "interrupted"
    assert cut.num_steps < STEPS
    assert_same_bits(descend(dataset, network, method, checkpoint=path), descend(dataset, network, method))


def test_a_finished_run_is_not_run_again(tmp_path, dataset, network):
    path = tmp_path / "run.npz"
    once = descend(dataset, network, ag.CutMix(), checkpoint=path)
    steps = []
    again = descend(dataset, network, ag.CutMix(), checkpoint=path, progress=lambda step, loss: steps.append(step))
    assert_same_bits(once, again)
    assert steps == []


def test_a_diverged_run_stays_diverged(tmp_path, dataset, network):
    def run():
        return ag.train(
            dataset, network, ag.CutMix(), step_size=1e8, num_steps=2000, record_at=(0, 1500), checkpoint=tmp_path / "a"
        )

    once = run()
    assert once.status == "diverged"
    assert_same_bits(once, run())


SLOW_RUN = """
import sys, jax
jax.config.update("jax_enable_x64", True)
import augscope as ag
from augscope.support import kept_file
kept_file.SAVE_SECONDS = 0.0
experiment = ag.presets.figure.replace(num_samples=20)
dataset = experiment.sample(0)
def tell(step, loss):
    print(step, flush=True)
ag.train(dataset, experiment.network, ag.CutMix(), step_size=1.0, num_steps=8_000, record_at=(0, 1000, 5_000),
         progress=tell, checkpoint=sys.argv[1])
print("done", flush=True)
"""


@pytest.mark.parametrize("chunks", [(2,), pytest.param((2, 4, 5), marks=pytest.mark.slow)])
def test_kill_9_loses_nothing(tmp_path, chunks):
    """Killed once or more, after some chunks of steps, a run ends with the bits of one that was left alone."""
    path = tmp_path / "run.npz"
    reached = []
    for count in chunks:
        process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        steps = [int(process.stdout.readline()) for _ in range(count)]
        reached.append(steps[0])
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed: make the run longer"
    assert sorted(set(reached)) == reached, "each process began where the one before had come to"
    experiment = ag.presets.figure.replace(num_samples=20)
    options = {"step_size": 1.0, "num_steps": 8_000, "record_at": (0, 1000, 5_000)}
    dataset = experiment.sample(0)
    assert_same_bits(
        ag.train(dataset, experiment.network, ag.CutMix(), checkpoint=path, **options),
        ag.train(dataset, experiment.network, ag.CutMix(), **options),
    )


class TestRefusals:
    @pytest.fixture
    def path(self, tmp_path, dataset, network):
        descend(dataset, network, ag.Erm(), checkpoint=tmp_path / "run.npz")
        return tmp_path / "run.npz"

    def refused(self, path, match, run):
        before = path.read_bytes()
        with pytest.raises(ValueError, match=match):
            run()
        assert path.read_bytes() == before

    @pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
    def test_truncated(self, path, dataset, network, kept):
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
        self.refused(
            path, "must be a whole checkpoint file", lambda: descend(dataset, network, ag.Erm(), checkpoint=path)
        )

    @pytest.mark.parametrize("seed", range(40))
    def test_damaged(self, path, dataset, network, seed):
        """A flipped byte anywhere: refused in a sentence, or without effect (archives hold bytes that nothing reads)."""
        whole = descend(dataset, network, ag.Erm(), checkpoint=path)
        content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
        where = (
            int(rng.integers(len(content))) if seed < 20 else len(content) - 1 - 4 * (seed - 20)
        )  # the end: a directory
        content[where] ^= 0xFF
        path.write_bytes(bytes(content))
        try:
            again = descend(dataset, network, ag.Erm(), checkpoint=path)
        except ValueError as error:
            sentence = str(error)
        else:
            assert_same_bits(whole, again)
            return
        assert sentence.startswith("`checkpoint` must be")

    def test_a_folder_is_not_a_file(self, tmp_path, dataset, network):
        with pytest.raises(ValueError, match="`checkpoint` must be a file, got the folder"):
            descend(dataset, network, ag.Erm(), checkpoint=tmp_path)

    def test_foreign(self, path, dataset, network):
        for content in (b"not an archive", json.dumps({"about": 1}).encode()):
            path.write_bytes(content)
            self.refused(path, "cannot be read", lambda: descend(dataset, network, ag.Erm(), checkpoint=path))

    def test_an_archive_with_a_pickle_is_not_opened(self, path, dataset, network):
        np.savez(path.with_suffix(".npz"), about=np.array([{"a": 1}], dtype=object), allow_pickle=True)
        self.refused(path, "allow_pickle=False", lambda: descend(dataset, network, ag.Erm(), checkpoint=path))

    @pytest.mark.parametrize(
        ("header", "sentence"),
        [
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
                "takes 8,000,000,000,000 bytes, not 8",
            ),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "allow_pickle=False"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "takes -8 bytes"),
            ("{" * 3_000, "cannot be read"),
            ("{'descr': (1, 2, 3), 'fortran_order': 0, 'shape': 7}", "cannot be read"),
            ("garbage(", "cannot be read"),
        ],
    )
    def test_headers_of_garbage(self, header, sentence, path, dataset, network):
        content = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + f"{header}\n".encode() + bytes(8)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("about.npy", content)
        self.refused(path, sentence, lambda: descend(dataset, network, ag.Erm(), checkpoint=path))

    def test_what_would_unpack_to_more_than_the_file_is_not_unpacked(self, path, dataset, network):
        np.savez_compressed(path, about=np.zeros(2**24))
        assert path.stat().st_size < 2**18
        self.refused(path, "would take 134,217,", lambda: descend(dataset, network, ag.Erm(), checkpoint=path))

    def test_arrays_of_other_types_and_shapes(self, path, dataset, network):
        """A whole file that says it is this descent's, with something else in it."""
        kept = checkpoint_module.Checkpoint(path, json.loads(str(np.load(path)["about"]))["configuration"])
        arrays = kept.load()
        for name in ("state.step", "state.point.coefficients.feature", "record.loss", "seconds"):
            for wrong in (np.zeros((2, 3, 4)), np.array("text")):
                kept.save({**arrays, name: wrong})
                self.refused(
                    path, "whole checkpoint file", lambda: descend(dataset, network, ag.Erm(), checkpoint=path)
                )
            kept.save({key: array for key, array in arrays.items() if key != name})
            self.refused(path, "`checkpoint` must be", lambda: descend(dataset, network, ag.Erm(), checkpoint=path))

    def test_a_pipe_is_not_waited_for(self, tmp_path, dataset, network):
        os.mkfifo(tmp_path / "run.npz")
        with pytest.raises(ValueError, match="must be a file, got the pipe or device"):
            descend(dataset, network, ag.Erm(), checkpoint=tmp_path / "run.npz")

    def test_other_configurations(self, path, dataset, network):
        for sentence, run in (
            ("num_steps = 60, not 61", lambda: descend(dataset, network, ag.Erm(), num_steps=61, checkpoint=path)),
            ("with method", lambda: descend(dataset, network, ag.CutMix(), checkpoint=path)),
            ("with network", lambda: descend(dataset, ag.Network(), ag.Erm(), checkpoint=path)),
            ("with dataset", lambda: descend(dataset.reduce(), network, ag.Erm(), checkpoint=path)),
        ):
            self.refused(path, sentence, run)

    def test_another_version(self, path, dataset, network, monkeypatch):
        monkeypatch.setattr(checkpoint_module, "versions", lambda: {"jax": "0.0.1"})
        self.refused(
            path, "must be of this version.*jax = ", lambda: descend(dataset, network, ag.Erm(), checkpoint=path)
        )

    def test_a_descent_kept_before_its_state_had_names(self, path, dataset, network):
        kept = checkpoint_module.Checkpoint(path, json.loads(str(np.load(path)["about"]))["configuration"])
        arrays = kept.load()
        assert {"state.step", "state.point.coefficients.feature", "record.loss", "seconds"} <= set(arrays)
        kept.save({name.replace("state.", "state "): array for name, array in arrays.items()})
        self.refused(
            path,
            "of this version.*which an earlier one wrote",
            lambda: descend(dataset, network, ag.Erm(), checkpoint=path),
        )

    def test_a_place_that_cannot_be_written(self, tmp_path, dataset, network):
        blocker = tmp_path / "file"
        blocker.write_text("")
        steps = []
        with pytest.raises(ValueError, match="`checkpoint` could not be written"):
            descend(
                dataset, network, ag.Erm(), checkpoint=blocker / "run.npz", progress=lambda step, _: steps.append(step)
            )
        assert steps == []  # found before any work

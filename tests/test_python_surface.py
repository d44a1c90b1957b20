"""augscope as a Python library: what a reader of a notebook expects of its values."""

from __future__ import annotations

import subprocess
import sys

import pytest

import augscope as ag


def test_the_practice_is_loaded_on_first_use():
    code = (
        "import sys, augscope as ag\n"
        "assert not {'jax', 'torch', 'numpy', 'augscope.laws', 'augscope.images'} & set(sys.modules)\n"
        "assert ag.laws.BoxLaw and 'torch' not in sys.modules\n"
        "assert ag.images.BoxCutMix and {'images', 'laws'} <= set(dir(ag))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_cutout_takes_its_one_number_by_position():
    assert ag.Cutout(2) == ag.Cutout(num_cut=2)
    assert ag.Cutout(2).replace(num_cut=1) == ag.Cutout()
    with pytest.raises(ValueError, match="`num_cut` must be in"):
        ag.Cutout(0)


@pytest.mark.parametrize(("name", "value", "part"), [("dim", 400, "distribution"), ("smoothing", 0.5, "network")])
def test_replacing_a_field_of_a_part_says_where_it_lives(name, value, part):
    experiment = ag.presets.theorem
    with pytest.raises(ValueError, match=f"`{name}` is a field of the {part}") as refused:
        experiment.replace(**{name: value})
    changed = eval(str(refused.value).partition(": ")[2])  # what the sentence says to write works
    assert getattr(getattr(changed, part), name) == value

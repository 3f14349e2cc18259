"""What can be built from what."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import BIN

HERE = pathlib.Path(__file__).parents[1]
FAKE = "def _(*a, **k): print('built')\nbuild_wheel = build_editable = get_requires_for_build_wheel = _\n" \
       "get_requires_for_build_editable = prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel = _\n"


def ask(tmp_path, folder, hook, before=""):
    """What a build frontend does, with something in scikit-build-core's place that builds nothing."""
    fake = tmp_path / "fake" / "scikit_build_core"
    fake.mkdir(parents=True, exist_ok=True)
    (fake / "__init__.py").write_text("")
    (fake / "build.py").write_text(FAKE)
    code = before + f"import backend\ntry:\n    backend.{hook}('wheel')\n" \
        "except backend.UnsupportedOperation as error:\n    print('refused:', error)"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True,
                          env=dict(os.environ, PYTHONPATH=f"{folder}:{fake.parent}")).stdout


@pytest.mark.parametrize("hook", ["build_wheel", "build_editable", "build_sdist"])
def test_what_could_not_be_installed_is_not_made(tmp_path, hook):
    folder = tmp_path / "a" / "copy"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(tmp_path.glob("*"))
    assert ask(tmp_path, folder, hook).startswith("refused:") and "checkout" in ask(tmp_path, folder, hook)
    assert sorted(tmp_path.glob("*")) == sorted([*before, tmp_path / "fake"])
    assert ask(tmp_path, HERE, hook).startswith("refused:" if hook == "build_sdist" else "built")


def test_a_python_without_the_gil_is_refused_with_a_sentence(tmp_path):
    before = "import sysconfig\nsysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1\n"
    told = ask(tmp_path, HERE, "build_wheel", before)
    assert told.startswith("refused:") and "GIL" in told
    result = subprocess.run([sys.executable, "-c", "import sys; sys.abiflags = 't'; import hermes_msg"], capture_output=True, text=True)
    assert result.returncode != 0 and "GIL" in result.stderr.splitlines()[-1]


def test_a_demo_without_its_actors_says_what_to_do(tmp_path):
    """As in a wheel, where the programs are and the actors are not."""
    shutil.copy(BIN / "hermes", tmp_path)
    result = subprocess.run([tmp_path / "hermes", "demo"], capture_output=True, text=True, env=dict(os.environ, HERMES_HOME=str(tmp_path)))
    assert result.returncode == 1 and "sniper_bot" in result.stderr and "--actors DIR" in result.stderr
    assert "serving" not in result.stderr  # and nothing was begun

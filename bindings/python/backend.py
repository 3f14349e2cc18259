"""How pip builds this: scikit-build-core, from a checkout of Hermes. There are no source distributions: the C sources are
not below this folder, so one could not be installed."""
import pathlib
import sysconfig

from scikit_build_core import build as _build

get_requires_for_build_editable = _build.get_requires_for_build_editable
get_requires_for_build_wheel = _build.get_requires_for_build_wheel
prepare_metadata_for_build_editable = _build.prepare_metadata_for_build_editable
prepare_metadata_for_build_wheel = _build.prepare_metadata_for_build_wheel

_NEEDS_GIL = "hermes-msg needs a Python with the GIL, which guards its handles: this one was built without"
_NEEDS_CHECKOUT = "hermes-msg is built from a checkout of Hermes: pip install ./bindings/python there"


class UnsupportedOperation(Exception):
    """What PEP 517 has for it."""


def _check():
    """Before anything is made: the build's folder is that of the checkout."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise UnsupportedOperation(_NEEDS_GIL)
    if not (pathlib.Path(__file__).resolve().parents[2] / "src" / "log").is_dir():
        raise UnsupportedOperation(_NEEDS_CHECKOUT)


def build_wheel(*arguments, **keywords):
    _check()
    return _build.build_wheel(*arguments, **keywords)


def build_editable(*arguments, **keywords):
    _check()
    return _build.build_editable(*arguments, **keywords)


def build_sdist(*_, **__):
    raise UnsupportedOperation("there is no source distribution: " + _NEEDS_CHECKOUT)

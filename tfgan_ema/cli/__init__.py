"""The command line: one file a command, thin."""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

# These packages lie beside this one. Folders of the same names in the user's own are not meant.
for _name in {"configs", "zoo"} - sys.modules.keys():
    _spec = PathFinder.find_spec(_name, [str(Path(__file__).parents[2])])
    sys.modules[_name] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])

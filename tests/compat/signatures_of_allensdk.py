"""Run by AllenSDK's own Python: print the names, arguments and defaults of what is mirrored.

Third-party packages that only draw are stood in for, so that the modules load without them.
"""

import importlib
import inspect
import json
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

warnings.simplefilter("ignore")
DRAWING = {"skimage", "nrrd", "statsmodels", "matplotlib", "mpl_toolkits", "seaborn"}


class Anything(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})

    def __call__(cls, *given, **options):
        return cls


class Stand(ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})


class Finder(MetaPathFinder, Loader):
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in DRAWING else None

    def create_module(self, spec):
        return Stand(spec.name)

    def exec_module(self, module):
        pass


def signature(thing):
    return [
        [p.name, p.kind.name, None if p.default is p.empty else repr(p.default)]
        for p in inspect.signature(thing).parameters.values()
    ]


def members(made):
    told = {"__init__": signature(made)}
    for name in dir(made):
        found = inspect.getattr_static(made, name)
        if name.startswith("_") or inspect.isclass(found):
            continue
        if isinstance(found, (staticmethod, classmethod)) or callable(found):
            told[name] = signature(getattr(made, name))
        elif isinstance(found, property):
            told[name] = "property"
        else:
            told[name] = "value"
    return told


sys.meta_path.append(Finder())
found = {}
for full in sys.argv[1:]:
    module, _, name = full.rpartition(".")
    thing = getattr(importlib.import_module("allensdk." + module), name)
    found[full] = members(thing) if inspect.isclass(thing) else signature(thing)
sys.stdout.write(json.dumps(found, sort_keys=True))

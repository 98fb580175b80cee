"""lit finds the FileCheck tests below this directory: `make filecheck` runs them all."""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)

from in_process import InProcess  # noqa: E402

config.name = "flashlower"  # noqa: F821
config.test_format = InProcess(execute_external=False)  # noqa: F821
config.suffixes = [".mlir"]  # noqa: F821
config.test_source_root = here  # noqa: F821
config.test_exec_root = os.path.join(here, "..", "..", "build", "lit")  # noqa: F821
# xdsl-opt and filecheck of this very environment, whatever else is on the path.
config.environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]  # noqa: F821
# Of a checkout that is not the installed one, too.
if "PYTHONPATH" in os.environ:
    config.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]  # noqa: F821
config.substitutions.append(("%corpus", os.path.join(here, "..", "corpus")))  # noqa: F821
config.maxIndividualTestTime = 120  # noqa: F821

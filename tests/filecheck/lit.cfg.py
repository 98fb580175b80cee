"""lit finds the FileCheck tests below this directory; `lit tests/filecheck` runs them all."""

import os

import lit.formats

config.name = "flashlower"  # noqa: F821
config.test_format = lit.formats.ShTest(execute_external=False)  # noqa: F821
config.suffixes = [".mlir"]  # noqa: F821
config.test_source_root = os.path.dirname(__file__)  # noqa: F821
config.environment["PATH"] = os.environ["PATH"]  # noqa: F821
# The corpus that ships with the project, for tests that start from a real export.
config.substitutions.append(("%corpus", os.path.join(config.test_source_root, "..", "corpus")))  # noqa: F821
lit_config.maxIndividualTestTime = 120  # noqa: F821

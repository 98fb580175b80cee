"""
A lit format that runs pipelines of xdsl-opt and filecheck in lit's own processes, where both are imported once.

Their start is most of the time of such a test. Lines with anything else (redirections, other commands) are run by lit's
shell, as all would be by `ShTest`.
"""

import io
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import lit.formats
import lit.Test
import lit.TestRunner
from filecheck.main import main as filecheck
from xdsl.xdsl_opt_main import xDSLOptMain


def xdsl_opt(arguments: list[str]) -> None:
    xDSLOptMain(args=arguments[1:]).run()


COMMANDS: dict[str, Callable[[list[str]], None]] = {"xdsl-opt": xdsl_opt, "filecheck": filecheck}


def stages_of(line: str) -> list[list[str]] | None:
    """The commands of a pipeline; None for a line that is more than one of `COMMANDS`."""
    words = shlex.shlex(re.sub(r"^%dbg\([^)]*\)", "", line), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = ""
    stages: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            stages.append([])
        elif set(word) <= set("();<>|&"):
            return None
        else:
            stages[-1].append(word)
    return stages if all(stage and stage[0] in COMMANDS for stage in stages) else None


def run(stages: list[list[str]]) -> str | None:
    """Runs a pipeline, every command after the one before; returns what was wrong with the first that failed."""
    data, stdin = b"", sys.stdin
    for stage in stages:
        output, errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        sys.stdin = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
        try:
            with redirect_stdout(output), redirect_stderr(errors):
                COMMANDS[stage[0]](stage)
            code: Any = 0
        except SystemExit as e:
            code = e.code
        except Exception:
            code = traceback.format_exc()
        finally:
            sys.stdin = stdin
        output.flush()
        data = output.buffer.getvalue()
        if code:
            return f"{shlex.join(stage)}\n{code}\n{errors.getvalue()}{data.decode()}"
    return None


class InProcess(lit.formats.ShTest):
    """`ShTest`, with pipelines of xdsl-opt and filecheck in this process."""

    def execute(self, test: Any, litConfig: Any) -> Any:
        script = lit.TestRunner.parseIntegratedTestScript(test)
        if isinstance(script, lit.Test.Result):
            return script
        substitutions = lit.TestRunner.getDefaultSubstitutions(test, *lit.TestRunner.getTempPaths(test))
        lines = lit.TestRunner.applySubstitutions(script, substitutions)
        pipelines = [stages for line in lines if (stages := stages_of(line)) is not None]
        if len(pipelines) < len(lines):
            return super().execute(test, litConfig)
        for stages in pipelines:
            if (failure := run(stages)) is not None:
                return lit.Test.Result(lit.Test.FAIL, failure)
        return lit.Test.Result(lit.Test.PASS)

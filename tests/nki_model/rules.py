"""Print the rules of the model and of the checker: `python tests/nki_model/rules.py`."""

import os
import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["FLASHLOWER_NKI"] = "model"
import nki_model
from nki_model import checker


def main() -> None:
    for title, rules in (("rules of the model", nki_model.nki().RULES), ("rules of the checker", checker.RULES)):
        print(f"{len(rules)} {title}")
        for name, text in rules.items():
            print(textwrap.fill(text, 118, initial_indent=f"  {name:<24}", subsequent_indent=" " * 26))


if __name__ == "__main__":
    main()

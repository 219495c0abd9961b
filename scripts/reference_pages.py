"""Write the reference pages of docs/ from the package: Python, settings, commands and HTTP.

python scripts/reference_pages.py          # writes; `make reference` calls it
python scripts/reference_pages.py --check  # fails where a page is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reference import commands, http_api, verb_settings


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")
    args = parser.parse_args()
    stale = {path: text for path, text in pages().items() if not path.is_file() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(f"{path} is out of date; run `make reference`" if args.check else f"wrote {path}")
        if not args.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(args.check and bool(stale))


def pages() -> dict[Path, str]:
    """The text of each reference page."""
    return {**commands.pages(), **http_api.pages(), **verb_settings.pages()}


if __name__ == "__main__":
    sys.exit(main())

"""The version of this package, on the lowest floor: a card names it without importing the package's root."""

from typing import Final

VERSION: Final = "0.1.0"

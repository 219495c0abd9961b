"""Peak memory of opening a model folder and reading some tokens, measured in a process of its own.

The result is the growth over a process that has imported and used everything once, with no model open, so that the
interpreter and torch, hundreds of megabytes, do not hide a small model.  Run as
`python -m lavra.compression.memory FOLDER TOKENS FAMILY…`, each family `module:NAME` of an added family.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

import torch

from lavra.base.errors import LavraError
from lavra.model.build import Model, build_model, new_model
from lavra.model.families.table import DEFAULT_FAMILY, add_family, added_families, preset
from lavra.model.transformer import EncoderDecoder
from lavra.quantize.expand import open_model

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"  # proc(5): sets the peak to the resident bytes now


def peak_memory(folder: Path, num_tokens: int) -> int:
    """Most bytes that a fresh process grows by, while it opens a folder and reads that many tokens.

    Raises:
        LavraError: the process failed.
    """
    families = added_families()
    # Their modules are found where this process finds them.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))} if families else None
    command = [sys.executable, "-m", "lavra.compression.memory", str(folder), str(num_tokens), *families]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise LavraError(f"the process that measures memory ended with status {done.returncode} ({last}); run it again")
    return int(done.stdout.split()[-1])


def _measure(folder: Path, num_tokens: int) -> int:
    _warm_up()
    before = _start()
    model, _ = open_model(folder, device=torch.device("cpu"))
    ids = (torch.arange(num_tokens) % model.config.vocab_size)[None]  # (1, T)
    with torch.inference_mode():
        _read(model, ids)
    return _peak() - before


def _warm_up() -> None:
    """Let torch allocate its own memory once, some 80 MB, on a tiny model."""
    config = preset(DEFAULT_FAMILY, vocab_size=16, hidden_size=16, num_layers=1, num_heads=1, max_positions=16)
    with torch.device("meta"):
        new_model(config)
    with torch.inference_mode():
        _read(build_model(config).eval(), torch.zeros(1, 2, dtype=torch.int64))


def _read(model: Model, ids: torch.Tensor) -> None:
    hidden = model.decode(ids, model.encode(ids)) if isinstance(model, EncoderDecoder) else model.hidden(ids)
    if model.head is not None:
        model.logits(hidden[:, -1:])


def _start() -> int:
    """Reset the peak; the resident bytes now."""
    if not _CLEAR.exists():  # elsewhere the peak cannot be reset: the growth is over the peak of importing
        return _peak()
    _CLEAR.write_text(_RESET_PEAK)
    return _status("VmRSS")


def _peak() -> int:
    if _STATUS.exists():
        return _status("VmHWM")
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _status(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    for place in sys.argv[3:]:
        add_family(place)
    sys.stdout.write(f"{_measure(Path(sys.argv[1]), int(sys.argv[2]))}\n")

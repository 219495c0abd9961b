"""Files of a dataset on the Hugging Face hub, as Parquet.

The hub converts most datasets itself (branch `refs/convert/parquet`).  Absent: datasets that are a Python script, and
datasets that the hub has not converted; both raise an error.
"""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from lavra.base.errors import InputError, nearest

_CONVERTED = "refs/convert/parquet"


def parquet_files(dataset: str, configuration: str | None, split: str, revision: str | None = None) -> list[Path]:
    """Fetch the Parquet files of one split, once, and return the paths of the local copies.

    Args:
        dataset: id of the dataset (`allenai/ai2_arc`).
        configuration: `dataset_name` of the task file; `default` if it has none.
        split: name of the split.
        revision: branch that has the Parquet files, instead of the hub's own.

    Raises:
        InputError: the network cannot be reached, the dataset does not exist, or it has no Parquet files of this split.
    """
    revision = revision or _CONVERTED
    folder = f"{configuration or 'default'}/{split}/"
    try:
        listed = huggingface_hub.list_repo_files(dataset, repo_type="dataset", revision=revision)
        names = sorted(name for name in listed if name.startswith(folder) and name.endswith(".parquet"))
        if not names:
            known = {name.rpartition("/")[0] for name in listed if name.endswith(".parquet")}
            raise InputError(f"the dataset {dataset!r} has no files in {folder!r}{nearest(folder.rstrip('/'), known)}")
        return [
            Path(huggingface_hub.hf_hub_download(dataset, name, repo_type="dataset", revision=revision))
            for name in names
        ]
    except (OSError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled) as error:
        raise InputError(
            f"the dataset {dataset!r} cannot be fetched from the hub ({type(error).__name__}); fetch its files where "
            "there is a network, and name them with `dataset_path: parquet` and `data_files`"
        ) from error

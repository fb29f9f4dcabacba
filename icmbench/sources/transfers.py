"""Downloads of several files at once, each from the first of its addresses that serves it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from icmbench.core.errors import DatasetError
from icmbench.core.progress import progress
from icmbench.sources.catalogue import SourceFile
from icmbench.sources.download import download, incomplete
from icmbench.sources.meter import Meter

log = logging.getLogger(__name__)

PARALLEL: Final = 4  # files at once; more do not fill a line that these do not


@dataclass(frozen=True)
class Order:
    """A file to download, its target, and by name of the algorithm its checksums."""

    file: SourceFile
    target: Path
    expected: Mapping[str, str]


def download_all(name: str, orders: Sequence[Order], records: Path) -> Iterator[tuple[Order, str]]:
    """Download files in parallel; each with its address as it arrives.

    Args:
        name: of the source, for the progress bar: bytes, rate and time left of all files.
        records: file that holds checksums of first downloads, for messages.

    Raises DatasetError, after all files were tried, with the reasons of every address of a file
    that could not be downloaded; StorageError at once.
    """
    if not orders:
        return
    sizes = {incomplete(order.target): order.file.size for order in orders}
    known = [size for size in sizes.values() if size is not None]
    total = sum(known) if len(known) == len(sizes) else None
    failures = []
    with (
        progress(total=total, desc=name, unit="B", unit_scale=True) as bar,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        meter = Meter(bar, sizes)
        running = {pool.submit(_download, order, meter, records): order for order in orders}
        try:
            for future in as_completed(running):
                try:
                    url = future.result()
                except DatasetError as error:
                    log.warning("%s", error)
                    failures.append(str(error))
                else:
                    yield running[future], url
        except BaseException:
            meter.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        raise DatasetError(f"{name}: " + "\n  ".join(failures))


def _download(order: Order, meter: Meter, records: Path) -> str:
    """Download a file; the address that served it."""
    file, failures = order.file, []
    for url in file.urls:
        try:
            download(
                url,
                order.target,
                order.expected.get("sha256"),
                sha1=order.expected.get("sha1"),
                md5=order.expected.get("md5"),
                size=file.size,
                meter=meter,
            )
            return url
        except DatasetError as error:
            failures.append(str(error))
    text = "; ".join(failures)
    if order.expected.get("sha256", "") != file.sha256:
        text += f" (recorded at the first download in {records}; if the publisher replaced the "
        text += "file, remove its entry there)"
    raise DatasetError(text)

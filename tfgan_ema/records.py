"""What a run writes to be looked at: CSV tables and TensorBoard events.

A row or an event is on disk, and an error of the disk is raised, before training continues.
"""

from __future__ import annotations

import csv
import functools
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgan_ema import files, reading

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter


def read_table(path: str | os.PathLike) -> list[dict[str, str]]:
    """The complete rows of a CSV file that a `Table` wrote; none if there is no file.

    Raises:
        UsageError: the file is damaged.
    """
    if not Path(path).exists():
        return []
    with (
        reading.refusing(f"{path} is damaged", "restore it, or delete it to lose its rows."),
        reading.regular(path) as raw,
        io.TextIOWrapper(raw, encoding="utf-8", newline="") as file,
    ):
        whole, end, _ = file.read().rpartition("\n")  # what follows is half a row
        table = csv.DictReader(io.StringIO(whole + end), strict=True)
        rows = [row for row in table if None not in row.values()]
        for row in rows:
            int(row["step"])
            for name, value in row.items():
                if name != "generator" and value:
                    float(value)
        return rows


class Table:
    """A CSV file of rows with a ``step``, to which a run appends.

    The columns are those of the first row. On resume, rows of later steps are dropped: they belong
    to steps that are about to be repeated.
    """

    def __init__(self, path: str | os.PathLike, resume_step: int) -> None:
        """Opens ``path``, keeping rows up to ``resume_step``."""
        self.path = Path(path)
        rows = self.rows()
        self.columns = list(rows[0]) if rows else []
        if self.path.exists():  # also drops half a row that a killed run left
            self._replace([row for row in rows if int(row["step"]) <= resume_step])

    def rows(self) -> list[dict[str, str]]:
        """All complete rows of the file."""
        return read_table(self.path)

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a row; columns that it lacks stay empty, a new column rewrites the file."""
        new = [key for key in row if key not in self.columns]
        if new or not self.path.exists():
            rows = self.rows()
            self.columns += new
            self._replace([*rows, row])
            return
        files.check_claim(self.path)
        with (
            files.naming(self.path),
            self.path.open("a", newline="", encoding="utf-8") as file,
        ):
            csv.DictWriter(file, self.columns, restval="").writerow(row)
            file.flush()
            os.fsync(file.fileno())

    def _replace(self, rows: list[Mapping[str, Any]]) -> None:
        with (
            files.replacing(self.path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self.columns or ["step"], restval="")
            writer.writeheader()
            writer.writerows(rows)


class Events:
    """A TensorBoard event file in a folder, made with its first value: scalars, images by step."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)

    @functools.cached_property
    def _writer(self) -> RecordWriter:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        now = time.time()  # names sort by it
        name = f"events.out.tfevents.{now:017.6f}.{os.uname().nodename}.{os.getpid()}"
        writer = RecordWriter((self.folder / name).open("wb"))
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        return writer

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one number for each tag."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        rows = [Summary.Value(tag=tag, simple_value=float(x)) for tag, x in values.items()]
        self._write(step, Summary(value=rows))

    def image(self, step: int, tag: str, image: np.ndarray) -> None:
        """Writes a uint8 image [h, w, c]."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        height, width, channels = image.shape
        png = io.BytesIO()
        Image.fromarray(image[..., 0] if channels == 1 else image).save(png, format="PNG")
        picture = Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=png.getvalue()
        )
        self._write(step, Summary(value=[Summary.Value(tag=tag, image=picture)]))

    def _write(self, step: int, summary: Summary) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step, summary=summary)
        with files.naming(self.folder):
            self._writer.write(event.SerializeToString())
            self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self._writer.close()

"""A folder of finished pieces of work that belongs to one configuration: a study that was stopped resumes from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from augscope.support.files import check_free, remove_killed_writers
from augscope.support.kept_file import KeptFile
from augscope.support.values import check


class KeptFolder:
    """A folder of `KeptFile`s, one for each finished piece of work, and of nothing else.

    Args:
        path: of the folder; made at once.
        study: what the folder belongs to, in a word such as "audit"; the file audit.npz then says which.
        configuration: what all its files have in common, ready for JSON.
        make_file: (path, configuration) → a `KeptFile`.
        replace: pattern of the names of finished pieces, such as "seed-*.npz", to remove where the folder belongs to
            another configuration, which is refused otherwise.

    Raises:
        ValueError: if the folder is another configuration's or another version's, holds anything else, or cannot be
            written: before any work.
    """

    def __init__(
        self,
        path: str | Path,
        study: str,
        configuration: Mapping[str, Any],
        make_file: Callable[[Path, Mapping[str, Any]], KeptFile],
        *,
        replace: str | None = None,
    ) -> None:
        self.path, self._configuration, self._make_file = Path(path), configuration, make_file
        check(not self.path.exists() or self.path.is_dir(), f"`checkpoint` must be a folder, got the file {self.path}")
        owner = make_file(self.path / f"{study}.npz", configuration)
        if replace is not None:
            self._remove_others(owner, replace)
        if owner.load() is None:
            check_free(self.path, "checkpoint", f"this {study}'s runs")
            owner.save({})
        with suppress(OSError):  # they take room, no more
            remove_killed_writers(self.path)

    def file(self, name: str, piece: Mapping[str, Any]) -> KeptFile:
        """Return the file of one piece of work, named by what sets it apart from the others."""
        return self._make_file(self.path / f"{name}.npz", {**self._configuration, **piece})

    def _remove_others(self, owner: KeptFile, pattern: str) -> None:
        """Remove the finished pieces of another configuration, if the folder is another's."""
        try:
            owner.load()
            return
        except ValueError:
            pass
        try:
            for path in (*self.path.glob(pattern), owner.path):  # the owner last: stopped here, it is done again
                path.unlink()
        except OSError as error:
            raise ValueError(f"`checkpoint` could not be emptied, got {self.path}: {error.strerror}") from None

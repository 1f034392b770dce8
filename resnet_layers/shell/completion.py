"""`--install-completion`: what a shell reads when it starts is whole, old or new."""

import shutil
from pathlib import Path
from typing import Any

from cyclopts import App

from resnet_layers._support.files import replacing


class Installer:
    """Installs completion as cyclopts does, which would empty a file before it writes it anew.

    Args:
        app: The commands.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, **chosen: Any) -> Path:
        """Where the script of completion is."""
        write = Path.write_bytes

        def write_whole(path: Path, content: Any) -> int:
            with replacing(path) as (new,):
                count = write(new, content)
                if path.exists():
                    shutil.copymode(path, new)
            return count

        Path.write_bytes = write_whole  # type: ignore[method-assign, assignment]
        try:
            return self.app.install_completion(**chosen)
        finally:
            Path.write_bytes = write  # type: ignore[method-assign]

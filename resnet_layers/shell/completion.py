"""`--install-completion`: what a shell reads when it starts is whole, old or new."""

import contextlib
import functools
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.completion.install import create_install_completion_command

from resnet_layers._support.files import replacing
from resnet_layers.shell.errors import InputError


def command(app: App) -> Callable[..., None]:
    """The command of cyclopts, with an `Installer`, and errors of ours.

    Args:
        app: The commands.
    """
    install = create_install_completion_command(Installer(app), add_to_startup=True)

    @functools.wraps(install)
    def checked(**chosen: Any) -> None:
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                install(**chosen)
        except SystemExit:
            raise InputError(
                "The shell must be named with `--shell`, since nothing tells which it is: zsh, "
                "bash, fish or powershell"
            ) from None
        except RuntimeError:  # of pathlib
            raise InputError("`HOME` must name the folder in which a shell looks") from None

    return checked


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

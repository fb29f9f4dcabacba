"""Codecs without code here: programs on the command line, and folders of finished results.

A definition is data: an entry of the configuration, or a file of `programs/`. `definitions` reads
it, `command` and `folder` make the codec class of it.
"""

from typing import Final

NOT_OURS: Final = "not decoded by us"  # marks results of a folder in tables and figures

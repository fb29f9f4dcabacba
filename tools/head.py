"""Print the first lines of the RD table, in columns: `tools/head.py rd.csv`."""

import sys

from icmbench.core.typed_csv import read_table

COLUMNS = ["dataset", "codec", "images", "failed", "bpp", "psnr_rgb", "ms_ssim"]

table = read_table(sys.argv[1])
shown = table[[name for name in COLUMNS if name in table]].head(10)
print(shown.to_string(index=False, float_format="%.4g"))
print(f"... {len(table)} rows in {sys.argv[1]}")

"""`python -m icmbench`."""

import sys

from icmbench.cli import main

sys.exit(main())

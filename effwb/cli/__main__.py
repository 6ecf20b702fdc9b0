"""`python -m effwb.cli`."""

import sys

from effwb.cli.main import main

sys.exit(main())

"""`python -m oko`."""

import sys

from oko.cli import main

sys.exit(main())

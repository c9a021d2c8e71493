"""`python -m sims`: the simulators as programs of their own."""

import sys

from sims.cli import main

sys.exit(main())

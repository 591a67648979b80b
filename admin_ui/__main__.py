"""Start the admin service: `python -m admin_ui`."""

import sys

from admin_ui.cli import main

sys.exit(main())

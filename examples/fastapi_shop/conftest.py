"""The tests work on a database of their own."""

import os
import tempfile

os.environ["FSMFLOW_DATABASE_URL"] = f"sqlite:///{tempfile.mkdtemp()}/test.db"

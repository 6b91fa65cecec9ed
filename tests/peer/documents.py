"""The documents of the shared data: what the tests that run them have in common."""

from pathlib import Path
from typing import Final

import pytest

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data" / "flexml"
HANGUP: Final = "<Response><Hangup/></Response>"

where_there_are_documents = pytest.mark.skipif(not DATA.exists(), reason=f"no documents in {DATA}")

"""Every line that was reported, in one table."""

from tests.emulator.reported import access, converse, invoke
from tests.emulator.reported.row import Row

TABLE: tuple[Row, ...] = (*converse.ROWS, *access.ROWS, *invoke.ROWS)

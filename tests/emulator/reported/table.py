"""Every line that was reported, in one table."""

from tests.emulator.reported import (
    access,
    converse_conversation,
    converse_settings,
    invoke_checkpoints,
    invoke_conversation,
    invoke_fields,
    invoke_nova,
)
from tests.emulator.reported.row import Row

TABLE: tuple[Row, ...] = (
    *converse_conversation.ROWS,
    *converse_settings.ROWS,
    *access.ROWS,
    *invoke_fields.ROWS,
    *invoke_conversation.ROWS,
    *invoke_checkpoints.ROWS,
    *invoke_nova.ROWS,
)

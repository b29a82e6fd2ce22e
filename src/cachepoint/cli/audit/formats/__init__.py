"""The forms of logs, one file each: from a record to a call."""

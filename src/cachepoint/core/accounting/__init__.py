"""One call: its tokens, its money, its report, and why it missed."""

"""Many scans in one go: `cases` finds them, `one_case` corrects one, `pools` spreads them, `journal` remembers, `run` joins all this."""

"""What `prepare` does with the files that a layout found: check, decide what they are, divide, report. No torch."""

"""From folders of pictures to batches. Imported as `translate.datasets`.

`prepare` finds the pictures (`layouts/`), reads each once and decides what they are (`preparation/`); `batches` makes
examples of them (`examples/`) and puts these together.
"""

"""Pictures: layouts, pairing, transforms, derived pairs. Imported as `translate.datasets`."""
